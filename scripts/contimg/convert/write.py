"""Writing a Measurement Set (version 2) of one field and one spectral window."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.convert.read import PARALLEL_CORRELATIONS, Layout
from contimg.core.disk import free_text
from contimg.core.errors import ContimgError
from contimg.core.isolate import end_with_parent
from contimg.core.plain import plain

MJD_SECONDS = 86400.0
_IN_THE_ROW = 5  # casacore's ColumnDesc: Direct and FixedShape


@dataclasses.dataclass(frozen=True)
class Description:
    """What the subtables say. Angles in radians, times MJD UTC."""

    telescope: str
    observer: str
    field: str
    ra_rad: float
    dec_rad: float
    freq_hz: NDArray[np.float64]
    width_hz: float
    antenna_names: list[str]
    dish_diameter_m: float
    pointing_ra_rad: NDArray[np.float64]  # (time,)
    pointing_dec_rad: NDArray[np.float64]


class MeasurementSet:
    """An MS being written: rows are times (slow) by baselines (fast).

    casacore fills the tiles of all channels with zeros before the first of them is written, a
    second during which no other Python runs. So another process creates the MS meanwhile.
    """

    def __init__(
        self, path: Path, layout: Layout, description: Description, uvw_m: NDArray[np.float64]
    ) -> None:
        self._path = Path(plain(path))  # the other process must not make links of its own
        self._table = None
        # started as a copy of this process, which has no threads of its own yet
        self._aside = ProcessPoolExecutor(
            max_workers=1, mp_context=get_context("fork"), initializer=end_with_parent
        )
        self._created = self._aside.submit(create, self._path, layout, description, uvw_m)

    @property
    def table(self):
        """The table, once it is there."""
        if self._table is None:
            from casacore import tables

            try:
                self._created.result()
            except BrokenProcessPool:  # casacore ends a process that cannot write
                raise ContimgError(
                    f"{self._path}: it could not be made, casacore's words are in the log above:"
                    f" {free_text(self._path)}; make room there, or run again"
                ) from None
            self._table = tables.table(str(self._path), readonly=False, ack=False)
        return self._table

    def put_channels(
        self, first: int, data: NDArray[np.complex64], flags: NDArray[np.bool_]
    ) -> None:
        """Write DATA and FLAG of consecutive channels (time, baseline, channel, corr)."""
        n_chan, n_corr = data.shape[2:]
        blc, trc = [first, 0], [first + n_chan - 1, n_corr - 1]
        for name, values in (("DATA", data), ("FLAG", flags)):
            self.table.putcolslice(name, values.reshape(-1, n_chan, n_corr), blc, trc)

    def put_weights(self, weight: NDArray[np.float64], row_flags: NDArray[np.bool_]) -> None:
        """Write WEIGHT, SIGMA (time, baseline, corr) and FLAG_ROW."""
        weight = weight.reshape(-1, weight.shape[-1])
        sigma = np.where(weight > 0, 1 / np.sqrt(np.where(weight > 0, weight, 1)), -1)
        self.table.putcol("WEIGHT", weight.astype(np.float32))
        self.table.putcol("SIGMA", sigma.astype(np.float32))
        self.table.putcol("FLAG_ROW", row_flags.reshape(-1))
        self.table.flush(recursive=True)

    def __enter__(self) -> MeasurementSet:
        return self

    def __exit__(self, *error: object) -> None:
        # before the directory goes: casacore aborts the process when it flushes to a lost file
        self._aside.shutdown()
        if self._table is not None:
            self._table.close()


def create(
    path: Path,
    layout: Layout,
    description: Description,
    uvw_m: NDArray[np.float64],
    *,
    spectrum: bool = False,
) -> None:
    """An MS with its rows and subtables, whose DATA and FLAG are zero.

    `uvw_m` (time, baseline, 3) is in the sense of the MS. With `spectrum` there is a column
    WEIGHT_SPECTRUM, zero as well.
    """
    from casacore import tables

    n_chan, n_corr = description.freq_hz.size, len(layout.polarisations)
    with _empty(tables, str(path), n_chan, n_corr, spectrum) as table:
        table.addrows(layout.times_jd.size * layout.ant1.size)
        _fill_rows(table, layout, uvw_m)
        _fill_subtables(tables, table, layout, description)


def _fill_rows(table, layout: Layout, uvw_m: NDArray[np.float64]) -> None:
    n_times, n_base = layout.times_jd.size, layout.ant1.size
    seconds = np.repeat((layout.times_jd - 2400000.5) * MJD_SECONDS, n_base)
    interval = np.full(n_times * n_base, layout.integration_s)
    columns = {
        "UVW": uvw_m.reshape(-1, 3),
        "TIME": seconds,
        "TIME_CENTROID": seconds,
        "INTERVAL": interval,
        "EXPOSURE": interval,
        "ANTENNA1": np.tile(layout.ant1, n_times).astype(np.int32),
        "ANTENNA2": np.tile(layout.ant2, n_times).astype(np.int32),
        "SCAN_NUMBER": np.ones(n_times * n_base, dtype=np.int32),
        "STATE_ID": np.full(n_times * n_base, -1, dtype=np.int32),
        "PROCESSOR_ID": np.full(n_times * n_base, -1, dtype=np.int32),
    }
    for name, values in columns.items():
        table.putcol(name, values)


def _empty(tables, path: str, n_chan: int, n_corr: int, spectrum: bool):
    """MS without rows, its DATA and FLAG tiled so that channel blocks and rows are both cheap."""
    n_row = max(1, 2**17 // (n_corr * min(n_chan, 48)))
    shape = {"ndim": 2, "shape": [n_chan, n_corr]}
    spectra = {
        "DATA": tables.makearrcoldesc("DATA", 0j, valuetype="complex", **shape),
        "FLAG": tables.makearrcoldesc("FLAG", False, **shape),
    }
    if spectrum:
        name = "WEIGHT_SPECTRUM"
        spectra[name] = tables.makearrcoldesc(name, 0.0, valuetype="float", **shape)
    extra = tables.maketabdesc(
        [
            *spectra.values(),
            # of one shape as well, or every row is a write of its own
            *(
                tables.makearrcoldesc(
                    name, 0.0, ndim=1, shape=[n_corr], valuetype="float", options=_IN_THE_ROW
                )
                for name in ("WEIGHT", "SIGMA")
            ),
        ]
    )
    description = tables.required_ms_desc("MAIN")
    for name in ("FLAG", "WEIGHT", "SIGMA"):
        description.pop(name, None)
    description.update(extra)
    managers = {
        f"*{i}": {
            "NAME": f"Tiled{name}",
            "TYPE": "TiledColumnStMan",
            "SPEC": {"DEFAULTTILESHAPE": np.array([n_corr, min(n_chan, 48), n_row], np.int32)},
            "COLUMNS": [name],
        }
        for i, name in enumerate(spectra, start=1)
    }
    return tables.default_ms(path, description, managers)


def _fill_subtables(tables, main, layout: Layout, d: Description) -> None:
    start = (layout.times_jd[0] - 2400000.5) * MJD_SECONDS - layout.integration_s / 2
    end = (layout.times_jd[-1] - 2400000.5) * MJD_SECONDS + layout.integration_s / 2
    n_ant, n_chan = len(d.antenna_names), d.freq_hz.size
    direction = np.array([[d.ra_rad, d.dec_rad]])
    circular = layout.polarisations[0] > -5
    telescope_m = np.array([x.to_value("m") for x in layout.location.geocentric])
    _fill(
        tables,
        main,
        "ANTENNA",
        n_ant,
        NAME=d.antenna_names,
        STATION=d.antenna_names,
        TYPE=["GROUND-BASED"] * n_ant,
        MOUNT=["ALT-AZ"] * n_ant,
        POSITION=layout.antenna_positions_m + telescope_m,
        OFFSET=np.zeros((n_ant, 3)),
        DISH_DIAMETER=np.full(n_ant, d.dish_diameter_m),
        FLAG_ROW=np.zeros(n_ant, dtype=bool),
    )
    _fill(
        tables,
        main,
        "FEED",
        n_ant,
        ANTENNA_ID=np.arange(n_ant, dtype=np.int32),
        FEED_ID=np.zeros(n_ant, dtype=np.int32),
        SPECTRAL_WINDOW_ID=np.full(n_ant, -1, dtype=np.int32),
        TIME=np.full(n_ant, (start + end) / 2),
        INTERVAL=np.full(n_ant, 0.0),
        NUM_RECEPTORS=np.full(n_ant, 2, dtype=np.int32),
        BEAM_ID=np.full(n_ant, -1, dtype=np.int32),
        BEAM_OFFSET=np.zeros((n_ant, 2, 2)),
        POLARIZATION_TYPE=np.array([["R", "L"] if circular else ["X", "Y"]] * n_ant),
        POL_RESPONSE=np.tile(np.eye(2, dtype=complex), (n_ant, 1, 1)),
        POSITION=np.zeros((n_ant, 3)),
        RECEPTOR_ANGLE=np.zeros((n_ant, 2)),
    )
    _fill(
        tables,
        main,
        "FIELD",
        1,
        NAME=[d.field],
        CODE=[""],
        TIME=[start],
        NUM_POLY=np.zeros(1, dtype=np.int32),
        DELAY_DIR=direction[None],
        PHASE_DIR=direction[None],
        REFERENCE_DIR=direction[None],
        SOURCE_ID=np.full(1, -1, dtype=np.int32),
        FLAG_ROW=[False],
    )
    for column in ("DELAY_DIR", "PHASE_DIR", "REFERENCE_DIR"):
        _set_frame(tables, main, "FIELD", column, "ICRS")
    widths = np.full((1, n_chan), d.width_hz)
    _fill(
        tables,
        main,
        "SPECTRAL_WINDOW",
        1,
        NUM_CHAN=np.array([n_chan], dtype=np.int32),
        NAME=["band"],
        REF_FREQUENCY=[float(d.freq_hz[0])],
        CHAN_FREQ=d.freq_hz[None],
        CHAN_WIDTH=widths,
        EFFECTIVE_BW=widths,
        RESOLUTION=widths,
        TOTAL_BANDWIDTH=[d.width_hz * n_chan],
        MEAS_FREQ_REF=np.array([5], dtype=np.int32),  # TOPO
        NET_SIDEBAND=np.array([1], dtype=np.int32),
        FREQ_GROUP=np.zeros(1, dtype=np.int32),
        FREQ_GROUP_NAME=[""],
        IF_CONV_CHAIN=np.zeros(1, dtype=np.int32),
        FLAG_ROW=[False],
    )
    corr = np.array([[PARALLEL_CORRELATIONS[p] for p in layout.polarisations]], dtype=np.int32)
    _fill(
        tables,
        main,
        "POLARIZATION",
        1,
        NUM_CORR=np.array([2], dtype=np.int32),
        CORR_TYPE=corr,
        CORR_PRODUCT=np.array([[[0, 0], [1, 1]]], dtype=np.int32),
        FLAG_ROW=[False],
    )
    _fill(
        tables,
        main,
        "DATA_DESCRIPTION",
        1,
        SPECTRAL_WINDOW_ID=np.zeros(1, dtype=np.int32),
        POLARIZATION_ID=np.zeros(1, dtype=np.int32),
        FLAG_ROW=[False],
    )
    _fill(
        tables,
        main,
        "OBSERVATION",
        1,
        TELESCOPE_NAME=[d.telescope],
        TIME_RANGE=np.array([[start, end]]),
        OBSERVER=[d.observer],
        SCHEDULE_TYPE=[""],
        PROJECT=[""],
        RELEASE_DATE=[0.0],
        FLAG_ROW=[False],
    )
    _put_telescope_location(tables, main, telescope_m)
    _fill_pointing(tables, main, layout, d)


def _put_telescope_location(tables, main, telescope_m: NDArray[np.float64]) -> None:
    """Add pyuvdata's column, without which it looks the telescope's position up elsewhere."""
    with tables.table(main.getkeyword("OBSERVATION"), readonly=False, ack=False) as observation:
        column = tables.makearrcoldesc("TELESCOPE_LOCATION", 0.0, shape=[3], valuetype="double")
        observation.addcols(tables.maketabdesc([column]))
        observation.putcell("TELESCOPE_LOCATION", 0, telescope_m)


def _fill_pointing(tables, main, layout: Layout, d: Description) -> None:
    """One row an antenna and time: where the dish looked, which is not the phase centre."""
    antennas = np.union1d(layout.ant1, layout.ant2).astype(np.int32)
    n_times, n_rows = layout.times_jd.size, layout.times_jd.size * antennas.size
    seconds = np.repeat((layout.times_jd - 2400000.5) * MJD_SECONDS, antennas.size)
    where = np.stack([d.pointing_ra_rad, d.pointing_dec_rad], axis=1)
    direction = np.repeat(where, antennas.size, axis=0)[:, None, :]
    _fill(
        tables,
        main,
        "POINTING",
        n_rows,
        ANTENNA_ID=np.tile(antennas, n_times),
        TIME=seconds,
        TIME_ORIGIN=np.full(n_rows, seconds[0]),
        INTERVAL=np.full(n_rows, layout.integration_s),
        NAME=[d.field] * n_rows,
        NUM_POLY=np.zeros(n_rows, dtype=np.int32),
        DIRECTION=direction,
        TARGET=direction,
        TRACKING=np.ones(n_rows, dtype=bool),
    )
    for column in ("DIRECTION", "TARGET"):
        _set_frame(tables, main, "POINTING", column, "ICRS")


def _fill(tables, main, name: str, n_rows: int, **columns) -> None:
    with tables.table(main.getkeyword(name), readonly=False, ack=False) as subtable:
        subtable.addrows(n_rows)
        for column, values in columns.items():
            subtable.putcol(column, values)


def _set_frame(tables, main, name: str, column: str, frame: str) -> None:
    with tables.table(main.getkeyword(name), readonly=False, ack=False) as subtable:
        measure = subtable.getcolkeyword(column, "MEASINFO")
        measure["Ref"] = frame
        subtable.putcolkeyword(column, "MEASINFO", measure)
