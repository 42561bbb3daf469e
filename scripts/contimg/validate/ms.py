"""Checks of one Measurement Set: subtables, axes, uvw, weights and every value."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.ms import open_table
from contimg.validate.geometry import check_positions, check_uvw, expected_uvw
from contimg.validate.tally import Tally, blocks_of, judge, sampled
from contimg.validate.verdicts import Settings, Subject

_SUBTABLES = (
    *("ANTENNA", "DATA_DESCRIPTION", "FEED", "FIELD", "OBSERVATION"),
    *("POINTING", "POLARIZATION", "SPECTRAL_WINDOW"),
)
_DAY_S = 86400.0


@dataclasses.dataclass
class _Rows:
    """Columns of the main table that several checks need."""

    time: NDArray[np.float64]
    ant1: NDArray[np.int64]
    ant2: NDArray[np.int64]
    uvw: NDArray[np.float64]
    interval: NDArray[np.float64]


def check_ms(path: str, settings: Settings) -> Subject:
    """All checks of one Measurement Set; whatever is wrong with it becomes a failed check."""
    subject = Subject(Path(path).name, "ms", path)
    if not subject.hold("exists", Path(path).is_dir(), "no such directory"):
        return subject
    marker = Path(path) / "FAILED.txt"
    if marker.exists():
        subject.hold(
            "readable", False, f"placeholder of a failed job: {marker.read_text().strip()}"
        )
        return subject
    lost = [name for name in _SUBTABLES if not (Path(path) / name / "table.dat").exists()]
    subject.hold("subtables", not lost, f"missing: {', '.join(lost)}")
    rows = None
    with subject.attempt("readable"):
        rows = _main_columns(subject, path)
    for step in (_windows, _field, _antenna_names):
        with subject.attempt(step.__name__.strip("_")):
            step(subject, path, settings)
    if rows is None:
        return subject
    for rows_step in (_times, _observation, _pointing, _uvw):
        with subject.attempt(rows_step.__name__.strip("_")):
            rows_step(subject, path, rows, settings)
    with subject.attempt("data"):
        _values(subject, path, rows, settings)
    return subject


def _main_columns(subject: Subject, path: str) -> _Rows:
    with open_table(path) as table:
        n_rows = table.nrows()
        subject.data["rows"] = n_rows
        if not subject.hold("rows", n_rows > 0, "the main table has no rows"):
            raise ValueError("no rows")
        return _Rows(
            time=table.getcol("TIME"),
            ant1=table.getcol("ANTENNA1").astype(np.int64),
            ant2=table.getcol("ANTENNA2").astype(np.int64),
            uvw=table.getcol("UVW"),
            interval=table.getcol("INTERVAL"),
        )


def _windows(subject: Subject, path: str, settings: Settings) -> None:
    """One spectral window, ascending, with sane widths."""
    with open_table(f"{path}/SPECTRAL_WINDOW") as table:
        n_windows = table.nrows()
        subject.hold("one spectral window", n_windows == 1, f"{n_windows} spectral windows")
        freq = np.atleast_1d(table.getcell("CHAN_FREQ", 0))
        widths = {
            name: np.atleast_1d(table.getcell(name, 0))
            for name in ("CHAN_WIDTH", "RESOLUTION", "EFFECTIVE_BW")
        }
    steps = np.diff(freq)
    subject.hold(
        "channels ascend",
        bool(np.isfinite(freq).all() and (freq > 0).all() and (steps > 0).all()),
        "CHAN_FREQ does not ascend",
    )
    step = float(np.median(steps)) if steps.size else float(np.abs(widths["CHAN_WIDTH"][0]))
    for name, values in widths.items():
        good = values.shape == freq.shape and bool(
            np.isfinite(values).all() and np.allclose(values, step, rtol=0.01)
        )
        subject.hold(
            name, good, f"{name} is not the spacing of the channels, {step:.6g} Hz", unit="Hz"
        )
    subject.facts["n_channels"] = freq.size
    half = step / 2e6
    subject.data |= {
        "channels": freq.size,
        "freq_min_mhz": float(freq.min() / 1e6 - half),
        "freq_max_mhz": float(freq.max() / 1e6 + half),
    }


def _field(subject: Subject, path: str, settings: Settings) -> None:
    """One field with a finite phase centre."""
    with open_table(f"{path}/FIELD") as table:
        n_fields = table.nrows()
        if not subject.hold("one field", n_fields == 1, f"{n_fields} fields") and n_fields == 0:
            return
        direction = np.asarray(table.getcell("PHASE_DIR", 0), dtype=float)
        subject.data["field"] = table.getcell("NAME", 0)
    ra, dec = direction[0]
    good = np.isfinite(direction).all() and abs(dec) <= np.pi / 2
    subject.hold("phase centre", bool(good), f"PHASE_DIR is {direction.ravel().tolist()}")
    if good:
        subject.facts["centre_rad"] = (float(ra), float(dec))
        subject.data |= {"ra_deg": float(np.degrees(ra)) % 360, "dec_deg": float(np.degrees(dec))}


def _antenna_names(subject: Subject, path: str, settings: Settings) -> None:
    """Names that CASA takes for names; positions against the reference."""
    with open_table(f"{path}/ANTENNA") as table:
        names, positions = list(table.getcol("NAME")), table.getcol("POSITION")
    subject.hold("antenna names", len(set(names)) == len(names) and "" not in names, "not unique")
    bare = [name for name in names if name.isdigit()]
    subject.hold(
        "antenna names are no numbers",
        not bare,
        f"CASA takes {', '.join(bare[:5])} .. for row numbers",
        otherwise="warn",
    )
    finite = bool(np.isfinite(positions).all())
    subject.hold("antenna positions", finite, "a position is not a finite number")
    subject.facts["positions_m"] = positions
    if settings.positions is not None and finite:
        check_positions(subject, names, positions, settings.positions)


def _times(subject: Subject, path: str, rows: _Rows, settings: Settings) -> None:
    """Rows are times by baselines, mid-points an interval apart."""
    times, counts = np.unique(rows.time, return_counts=True)
    finite = bool(np.isfinite(rows.time).all() and (times > 0).all())
    if not subject.hold("times finite", finite, "TIME holds values that are no times"):
        return
    n_base = int(counts[0])
    regular = (
        bool((counts == n_base).all())
        and np.array_equal(rows.time, np.repeat(times, n_base))
        and np.array_equal(rows.ant1, np.tile(rows.ant1[:n_base], times.size))
        and np.array_equal(rows.ant2, np.tile(rows.ant2[:n_base], times.size))
    )
    subject.hold("rows are times by baselines", regular, "rows do not repeat the same baselines")
    expected = settings.n_times or times.size
    subject.hold(
        "number of times",
        times.size == expected,
        f"{times.size} times, {expected} expected",
        otherwise="warn",
        value=float(times.size),
    )
    interval = float(np.median(rows.interval))
    if times.size > 1 and interval > 0:
        uneven = float(np.abs(np.diff(times) - interval).max()) / interval
        subject.limit(
            "largest gap or overlap between integrations",
            uneven,
            "integrations",
            warn_above=0.01,
            fail_above=max(10.0, 0.5 * times.size),
        )
    subject.hold("INTERVAL", interval > 0, f"INTERVAL is {interval} s")
    subject.data |= {
        "first_mjd": float(times[0]) / _DAY_S,
        "last_mjd": float(times[-1]) / _DAY_S,
        "n_times": times.size,
    }


def _observation(subject: Subject, path: str, rows: _Rows, settings: Settings) -> None:
    """TIME_RANGE contains the data; the telescope has its name."""
    with open_table(f"{path}/OBSERVATION") as table:
        begin, end = (float(x) for x in np.ravel(table.getcell("TIME_RANGE", 0)))
        telescope = table.getcell("TELESCOPE_NAME", 0)
        centre = (
            table.getcell("TELESCOPE_LOCATION", 0)
            if "TELESCOPE_LOCATION" in table.colnames()
            else None
        )
    subject.hold(
        "telescope",
        telescope == settings.telescope,
        f"telescope is {telescope!r}, not {settings.telescope!r} (instrument.telescope)",
        otherwise="warn",
    )
    first, last = float(rows.time.min()), float(rows.time.max())
    step = float(np.median(rows.interval))
    subject.hold(
        "TIME_RANGE",
        abs(begin - first) <= 1.5 * step and abs(end - last) <= 1.5 * step,
        f"TIME_RANGE {begin / _DAY_S:.5f}-{end / _DAY_S:.5f} is not that of the data, "
        f"{first / _DAY_S:.5f}-{last / _DAY_S:.5f} (MJD)",
    )
    if centre is None:
        centre = np.median(subject.facts["positions_m"], axis=0)
    subject.facts["location"] = EarthLocation.from_geocentric(*centre, unit="m")


def _pointing(subject: Subject, path: str, rows: _Rows, settings: Settings) -> None:
    """POINTING has finite directions at the times of the data."""
    with open_table(f"{path}/POINTING") as table:
        if not subject.hold(
            "POINTING", table.nrows() > 0, "POINTING has no rows", otherwise="warn"
        ):
            return
        when = table.getcol("TIME")
        direction = table.getcol("DIRECTION")
    subject.hold("POINTING finite", bool(np.isfinite(direction).all()), "a direction is not finite")
    times = np.unique(rows.time)
    when = np.unique(when)
    after = np.searchsorted(when, times).clip(0, when.size - 1)
    before = (after - 1).clip(0)
    near = np.minimum(np.abs(times - when[after]), np.abs(times - when[before]))
    step = float(np.median(rows.interval))
    subject.hold(
        "POINTING covers the data",
        bool((near <= step).all()),
        f"no entry within an integration of {int((near > step).sum())} of {times.size} times",
    )


def _uvw(subject: Subject, path: str, rows: _Rows, settings: Settings) -> None:
    """uvw are those of the antenna positions towards PHASE_DIR, in the sense of an MS."""
    cross = rows.ant1 != rows.ant2
    lacking = [k for k in ("centre_rad", "positions_m", "location") if k not in subject.facts]
    if lacking:
        subject.hold("uvw", False, f"cannot be checked without {', '.join(lacking)}")
        return
    times = np.unique(rows.time)
    got, expected = [], []
    for time in times[sampled(times.size)]:
        mine = np.flatnonzero(cross & (rows.time == time))
        got.append(-rows.uvw[mine])
        expected.append(
            expected_uvw(
                subject.facts["positions_m"],
                rows.ant1[mine],
                rows.ant2[mine],
                time / _DAY_S + 2400000.5,
                subject.facts["location"],
                icrs_rad=subject.facts["centre_rad"],
            )
        )
    check_uvw(subject, np.concatenate(got), np.concatenate(expected), settings.uvw_tolerance_m)


def _values(subject: Subject, path: str, rows: _Rows, settings: Settings) -> None:
    """Values, flags and weights of every integration (or the first, middle and last)."""
    blocks = blocks_of(rows.time, rows.time.size)
    if settings.quick:
        blocks = [blocks[i] for i in sampled(len(blocks))]
    cross = rows.ant1 != rows.ant2
    tally, no_weight, row_flags = Tally(), 0, 0
    with open_table(path) as table:
        column = "CORRECTED_DATA" if "CORRECTED_DATA" in table.colnames() else "DATA"
        for start, stop in blocks:
            data, flags, weight, flag_row = (
                table.getcol(name, start, stop - start)
                for name in (column, "FLAG", "WEIGHT", "FLAG_ROW")
            )
            if data.shape[1] != subject.facts.get("n_channels", data.shape[1]):
                subject.hold("channels of the data", False, f"{data.shape[1]} in {column}")
                return
            flags = flags | flag_row[:, None, None]
            mine = cross[start:stop]
            tally.count(data[mine], flags[mine])
            used = ~flags.all(axis=1)
            no_weight += int((used & ~(weight > 0)).sum())
            row_flags += int(flag_row.sum())
    subject.hold("data readable to the end", True, "")
    subject.hold(
        "weights", no_weight == 0, f"{no_weight} rows and correlations with data have no weight > 0"
    )
    judge(subject, tally, settings.min_usable, settings.warn_usable)
    bad = tally.fraction("bad_unflagged")
    subject.limit("zero or not finite, and not flagged", bad, warn_above=0, fail_above=0.01)
    subject.data |= {"column": column, "flagged_rows": row_flags}
