"""``contimg apply``: a tile's Measurement Set, calibrated and averaged for imaging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import C_M_S, InstrumentOptions, PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.catalog import flux_density, read_sources
from contimg.core.command import Command, Files
from contimg.core.errors import DataQualityError
from contimg.core.ms import Axes, open_table, read_axes
from contimg.core.predict import beam_track, predict
from contimg.core.records import atomic, check, read_record, require, write_record


class ApplyFiles(Files):
    """Inputs and outputs of an application."""

    ms: Path = Field(description="Measurement Set of the tile")
    ms_record: Path = Field(description="its record")
    solutions: list[Path] = Field(
        [], description="records of the calsets that may serve, nearest in time first"
    )
    catalog: Path | None = Field(None, description="table of the sources to make steady")
    calibrated: Path = Field(description="Measurement Set to write")
    record: Path = Field(description="JSON record to write")


def run(files: ApplyFiles, instrument: InstrumentOptions, options: ApplyOptions) -> None:
    """Calibrate one tile."""
    converted = require(files.ms_record)
    chosen, reasons = choose_calset(files.solutions)
    axes = read_axes(files.ms)
    channel_bin = options.channel_bin or smearing_bin(axes, PrimaryBeam(instrument), options)
    cwd = Path.cwd()
    tables = {
        n: cwd / chosen.parent / name for n, name in read_record(chosen)["data"]["tables"].items()
    }
    with atomic(cwd / files.calibrated) as partial, casa_session() as scratch:
        library = scratch / "callib.txt"
        library.write_text(callib(tables, options.calwt))
        _transform(cwd / files.ms, partial, library, channel_bin)
        catalog = None if files.catalog is None else cwd / files.catalog
        steadied = remove_modulation(partial, catalog, PrimaryBeam(instrument), options)
    usable, antennas_lost = _usable(files.calibrated, axes)
    if usable < options.min_usable:
        raise DataQualityError(f"{usable:.1%} of the data usable after calibration")
    write_record(
        files.record,
        product=files.calibrated.name,
        stage="apply",
        data={
            **{
                k: converted["data"][k]
                for k in ("group", "ra_deg", "dec_deg", "start_mjd", "end_mjd")
            },
            "calset": chosen.parent.name,
            "calset_reasons": reasons,
            "channel_bin": channel_bin,
            "sources_steadied": steadied,
            "usable_fraction": usable,
            "antennas_lost": antennas_lost,
        },
        checks=[
            check("usable fraction after calibration", usable, warn_below=0.3),
            check("calsets passed over", len(reasons) - 1, warn_above=0),
        ],
        options=(instrument, options),
        inputs=[p for p in (files.ms_record, chosen, files.catalog) if p is not None],
    )


def choose_calset(candidates: list[Path]) -> tuple[Path, list[str]]:
    """The first candidate that did not fail, and what was thought of each one looked at."""
    reasons = []
    for path in candidates:
        record = read_record(path)
        name = path.parent.name
        if record["verdict"] != "fail":
            return path, [*reasons, f"{name}: used ({record['verdict']})"]
        reasons.append(f"{name}: failed, {record['reason']}")
    if not candidates:
        raise DataQualityError(
            "no calset within plan.staleness_hours and plan.dec_tolerance_deg of this tile"
        )
    raise DataQualityError("no calset passes: " + "; ".join(reasons))


def smearing_bin(axes: Axes, beam: PrimaryBeam, options: ApplyOptions) -> int:
    """Largest power of two of channels whose average keeps amplitudes within the limit.

    A source at angle theta loses 1 - sinc(dnu tau), tau = b theta / c (Thompson, Moran & Swenson,
    section 6.4); the loss is averaged over the baselines, as in an image of natural weight, at
    the theta where the beam is ``smearing_pb``.
    """
    from scipy.optimize import brentq

    freq = float(axes.freq_hz.mean())
    edge = beam.fwhm_rad(freq)
    theta = brentq(lambda t: float(beam.power(t, freq)) - options.smearing_pb, edge / 10, edge)
    delay = np.linalg.norm(axes.uvw_m, axis=-1).ravel() * theta / C_M_S
    best, size = 1, 2
    while axes.freq_hz.size % size == 0 and size <= 64:
        if np.mean(1 - np.sinc(axes.width_hz * size * delay)) > options.smearing_limit:
            break
        best, size = size, size * 2
    return best


def callib(tables: dict[str, Path], calwt: bool) -> str:
    """CASA calibration library. ``spwmap`` must be given or CASA refuses the line."""
    lines = []
    for name, path in tables.items():
        weigh = calwt and name != "K"
        lines.append(
            f"caltable='{path}' calwt={weigh} tinterp='nearest' finterp='linear' spwmap=[0]"
        )
    return "\n".join(lines) + "\n"


def _transform(ms: Path, output: Path, library: Path, channel_bin: int) -> None:
    from casatasks import mstransform

    mstransform(
        vis=str(ms),
        outputvis=str(output),
        docallib=True,
        callib=str(library),
        datacolumn="corrected",
        chanaverage=channel_bin > 1,
        chanbin=channel_bin,
        usewtspectrum=True,
        keepflags=True,
    )
    if not output.is_dir():
        raise DataQualityError("CASA wrote no calibrated data (everything flagged)")


def remove_modulation(
    ms: Path, catalog: Path | None, beam: PrimaryBeam, options: ApplyOptions
) -> int:
    """Subtract what the drift through the beam does to bright sources; how many they are.

    Only S (B(t) - mean B) is subtracted, which has no mean over the unflagged data: a source
    keeps the average flux density that was measured, whatever the catalogue says, but no longer
    changes while the visibilities are put into one image, where that cannot be deconvolved.
    """
    if catalog is None:
        return 0
    axes = read_axes(ms)
    sources = read_sources(catalog)
    freq = axes.freq_hz.mean(keepdims=True)
    track = beam_track(sources, beam, freq, axes.pointing_rad)[..., 0]
    change = np.ptp(track, axis=0) * flux_density(sources, freq)[:, 0]
    sources = sources[change > options.drift_min_jy]
    if sources.empty:
        return 0
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        good = ~table.getcol("FLAG").any(axis=-1)
        weight = good * table.getcol("WEIGHT").mean(axis=-1)[:, None]
        weight = weight.reshape(*axes.shape, -1).sum(axis=1)
        for time, stokes_i in enumerate(predict(sources, beam, axes, weight)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol("DATA", **rows)
            table.putcol("DATA", data - stokes_i[..., None], **rows)
    return len(sources)


def _usable(ms: Path, before: Axes) -> tuple[float, list[str]]:
    """Fraction of unflagged, finite, non-zero data; antennas that have none."""
    with open_table(ms) as table:
        good = ~table.getcol("FLAG")
        data = table.getcol("DATA")
        ant1, ant2 = table.getcol("ANTENNA1"), table.getcol("ANTENNA2")
    bad = good & ~(np.isfinite(data) & (data != 0))
    if bad.any():
        raise DataQualityError(f"{bad.sum()} unflagged visibilities are zero or not finite")
    antennas = np.union1d(before.ant1, before.ant2)
    rows = good.any(axis=(1, 2))
    alive = np.union1d(ant1[rows], ant2[rows])
    return float(good.mean()), [before.antenna_names[a] for a in antennas if a not in alive]


COMMAND = Command(
    help="Calibrate a tile with the nearest passing calset and average it for imaging.",
    files=ApplyFiles,
    options=(InstrumentOptions, ApplyOptions),
    run=run,
    outputs=("calibrated", "record"),
    record="record",
)
