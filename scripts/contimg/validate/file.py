"""Checks of one UVH5 file: header, times, frequencies, antennas, uvw and every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg.core.earth import covered_mjd, outside
from contimg.core.grouping.scan import name_mjd
from contimg.core.isolate import explain
from contimg.core.uvh5 import Header, HeaderError, integrations, open_uvh5, read_header
from contimg.validate.array import antennas, uvw
from contimg.validate.tally import Tally, blocks_of, judge, sampled
from contimg.validate.verdicts import Settings, Subject

REQUIRED = (
    *("telescope_name", "latitude", "longitude", "altitude"),
    *("Nblts", "Ntimes", "Nbls", "Nfreqs", "Npols", "Nants_telescope", "Nants_data"),
    *("antenna_names", "antenna_numbers", "antenna_positions", "ant_1_array", "ant_2_array"),
    *("time_array", "integration_time", "uvw_array"),
    *("freq_array", "channel_width", "polarization_array"),
)
# what the instrument writes when it does not know the time, MJD
_CLOCK_UNSET = 55000.0
_PAIRS = ({-5, -6}, {-1, -2})
_MAX_HEADER_BYTES = 2_000_000_000


def check_file(path: str, settings: Settings) -> Subject:
    """All checks of one file; whatever is wrong with it becomes a failed check."""
    subject = Subject(Path(path).name, "file", path)
    with subject.attempt("readable"), open_uvh5(path) as file:
        size = Path(path).stat().st_size
        subject.data["bytes"] = size
        header: dict[str, NDArray] = {}
        with subject.attempt("header"):
            header = read_raw_header(subject, file)
        for step in (_shapes, _times, _frequencies, antennas):
            with subject.attempt(step.__name__.strip("_")):
                step(subject, header, file, settings)
        with subject.attempt("header as the workflow reads it"):
            _accepted(subject, path, settings)
        with subject.attempt("uvw"):
            uvw(subject, header, settings)
        with subject.attempt("data"):
            _data(subject, header, file, settings)
    return subject


def read_raw_header(subject: Subject, file) -> dict[str, NDArray]:
    """Every dataset of the header that can be read; the required ones are checked."""
    group = file["Header"]
    header, broken = {}, []
    for key in group:
        try:
            item = group[key]
            if not hasattr(item, "dtype"):
                continue
            if item.size * item.dtype.itemsize > _MAX_HEADER_BYTES:
                raise ValueError(f"claims {item.size} values")
            header[key] = np.asarray(item[()])
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            broken.append(f"{key} ({explain(error)})")
    missing = [key for key in REQUIRED if key not in header]
    subject.hold("header keys", not missing, f"missing: {', '.join(missing)}")
    subject.hold("header values", not broken, f"unreadable: {'; '.join(broken)}")
    return header


def _accepted(subject: Subject, path: str, settings: Settings) -> None:
    """What discovery and conversion would say of the header, the telescope and the name."""
    try:
        header: Header = read_header(path)
    except HeaderError as error:
        subject.hold("header as the workflow reads it", False, str(error))
        return
    subject.hold("header as the workflow reads it", True, "")
    subject.facts["header"] = header
    subject.data["pointing"] = {
        "tracking": header.tracking,
        "dec_app_deg": header.dec_app_deg,
        "ra_deg": header.ra_deg,
        "dec_deg": header.dec_deg,
    }
    subject.hold(
        "telescope",
        header.telescope == settings.telescope,
        f"telescope is {header.telescope!r}, not {settings.telescope!r} (instrument.telescope)",
    )
    if header.tracking == "drift":
        dec = header.dec_app_deg
        subject.hold(
            "pointing declination",
            dec is not None and -90 <= dec <= 90,
            f"pointing declination {dec} deg is impossible",
        )
    named = name_mjd(path)
    if subject.hold(
        "file name",
        bool(np.isfinite(named)),
        "name is not TIME_sbNN.hdf5: not discovered",
        otherwise="warn",
    ):
        subject.limit(
            "time in the data against that in the name",
            abs(header.first_mjd - named) * 86400,
            "s",
            fail_above=settings.max_clock_offset_s,
        )


def _shapes(subject: Subject, header: dict[str, Any], file, settings: Settings) -> None:
    """Datasets and header agree on rows, channels and polarisations."""
    group = file["Data"]
    rows = int(header["ant_1_array"].size)
    channels = int(header["freq_array"].size)
    pols = int(header["polarization_array"].size)
    shapes = {name: tuple(group[name].shape) for name in ("visdata", "flags", "nsamples")}
    subject.data["shape"] = list(shapes["visdata"])
    good = {(rows, 1, channels, pols), (rows, channels, pols)}
    for name, shape in shapes.items():
        subject.hold(
            f"shape of {name}",
            shape in good and shape == shapes["visdata"],
            f"{name} is {shape}, the header has {rows} rows, {channels} channels, {pols} pols",
        )
    kind = group["visdata"].dtype
    subject.hold(
        "type of visdata",
        kind.kind == "c" or set(kind.names or ()) == {"r", "i"},
        f"visdata are {kind}, not complex",
    )
    wrong = [
        f"{key} {header[key].shape}"
        for key, shape in (
            ("ant_2_array", (rows,)),
            ("time_array", (rows,)),
            ("uvw_array", (rows, 3)),
        )
        if header[key].shape != shape
    ]
    subject.hold("shapes of the header", not wrong, f"not of {rows} rows: {', '.join(wrong)}")
    claims = {"Nblts": rows, "Nfreqs": channels, "Npols": pols}
    off = [f"{k} is {header[k]}, not {v}" for k, v in claims.items() if int(header[k]) != v]
    subject.hold("counts of the header", not off, "; ".join(off), otherwise="warn")
    found = {int(p) for p in np.ravel(header["polarization_array"])}
    subject.hold(
        "polarisations",
        any(pair <= found for pair in _PAIRS),
        f"polarisations {sorted(found)} hold no pair XX,YY or RR,LL",
    )


def _times(subject: Subject, header: dict[str, Any], file, settings: Settings) -> None:
    """Regular and plausible times."""
    times = np.asarray(header["time_array"], dtype=float)
    if not subject.hold("times finite", bool(np.isfinite(times).all()) and times.size > 0, "NaN"):
        return
    integration = np.ravel(np.asarray(header["integration_time"], dtype=float))
    step = float(integration[0])
    jd, number = integrations(np.ravel(times), step if step > 0 else 0.0)
    mjd, counts = jd - 2400000.5, np.bincount(number)
    subject.data |= {"first_mjd": float(mjd[0]), "last_mjd": float(mjd[-1]), "n_times": mjd.size}
    unset = abs(mjd[0] - _CLOCK_UNSET) < 1
    now = float(Time.now().mjd)
    reason = f"data begin at MJD {mjd[0]:.4f}"
    if unset:
        reason += ": the correlator did not know the time and wrote its default, MJD 55000"
    first, last = covered_mjd()
    known = first < mjd[0] and mjd[-1] < last
    if not known:
        reason = outside(float(mjd[0]))
    possible = known and mjd[-1] < now + 1
    subject.hold("date", possible and not unset, reason, unit="d")
    if possible:  # else no sidereal time belongs to it
        subject.facts |= {"mjd": mjd, "integration_s": step}
    expected = settings.n_times or int(header["Ntimes"])
    subject.hold(
        "number of times",
        mjd.size == expected,
        f"{mjd.size} times, {expected} expected",
        otherwise="fail" if settings.n_times and mjd.size < expected / 2 else "warn",
        value=float(mjd.size),
    )
    subject.hold(
        "rows at every time",
        bool((counts == counts[0]).all()),
        f"between {counts.min()} and {counts.max()} rows at a time",
        otherwise="warn",
    )
    good = np.isfinite(integration).all() and step > 0
    if not subject.hold("integration time", bool(good), f"integration_time is {step} s"):
        return
    subject.hold(
        "one integration time",
        bool(np.ptp(integration) < 1e-3 * step),
        "it varies",
        otherwise="warn",
    )
    if mjd.size > 1:
        # a JD near 2.46e6 resolves 40 us
        uneven = float(np.abs(np.diff(mjd) * 86400 - step).max())
        subject.limit(
            "largest gap or overlap between integrations",
            uneven / step,
            "integrations",
            warn_above=0.01,
            fail_above=max(10.0, 0.5 * mjd.size),
        )


def _frequencies(subject: Subject, header: dict[str, Any], file, settings: Settings) -> None:
    """A regular grid of the channel width, inside the band, on its raster of subbands."""
    freq = np.ravel(np.asarray(header["freq_array"], dtype=float))
    width = float(np.abs(np.ravel(np.asarray(header["channel_width"], dtype=float))[0]))
    good = bool(np.isfinite(freq).all() and (freq > 0).all() and np.isfinite(width) and width > 0)
    if not subject.hold("frequencies", good, f"frequencies or channel width {width} not valid"):
        return
    steps = np.diff(freq)
    one_way = bool((steps > 0).all() or (steps < 0).all())
    subject.hold("order of channels", one_way, "channels neither ascend nor descend")
    if steps.size:
        uneven = float(np.abs(np.abs(steps) - width).max() / width)
        subject.limit("channel spacing against channel width", uneven, "channels", fail_above=0.01)
    low, high = float(freq.min() - width / 2), float(freq.max() + width / 2)
    subject.facts |= {"freq_hz": (low, high), "n_channels": freq.size, "width_hz": width}
    subject.data |= {
        "freq_min_mhz": low / 1e6,
        "freq_max_mhz": high / 1e6,
        "channels": freq.size,
        "channels_run": "up" if steps.size and steps[0] > 0 else "down",
    }
    if settings.band_hz is not None:
        first, last = settings.band_hz
        size = (last - first) / settings.subbands
        slot = round((low - first) / size)
        away = max(abs(low - first - slot * size), abs(high - first - (slot + 1) * size)) / width
        inside = 0 <= slot < settings.subbands and away < 0.25
        subject.hold(
            "place in the band",
            inside,
            f"{low / 1e6:.3f}-{high / 1e6:.3f} MHz is none of the {settings.subbands} subbands of "
            f"{first / 1e6:.3f}-{last / 1e6:.3f} MHz",
            value=float(slot),
        )


def _data(subject: Subject, header: dict[str, Any], file, settings: Settings) -> None:
    """Read everything (or the first, middle and last integration) and count what is wrong."""
    group = file["Data"]
    datasets = [group[name] for name in ("visdata", "flags", "nsamples")]
    n_rows = datasets[0].shape[0]
    times = np.ravel(np.asarray(header.get("time_array", np.zeros(0)), dtype=float))
    cross = np.ones(n_rows, dtype=bool)
    if "ant1" in subject.facts and subject.facts["ant1"].size == n_rows:
        cross = subject.facts["ant1"] != subject.facts["ant2"]
    blocks = blocks_of(times, n_rows)
    if settings.quick:
        blocks = [blocks[i] for i in sampled(len(blocks))]
    tally, unread = Tally(), []
    for start, stop in blocks:
        try:
            data, flags, nsamples = (_rows(d, start, stop) for d in datasets)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            unread.append(f"rows {start}-{stop - 1} ({explain(error)})")
            continue
        mine = cross[start:stop]
        tally.count(data[mine], flags[mine].astype(bool), nsamples[mine])
    subject.hold(
        "data readable to the end",
        not unread,
        f"{len(unread)} of {len(blocks)} integrations unreadable: {'; '.join(unread[:3])}",
    )
    subject.data["rows_read"] = int(sum(stop - start for start, stop in blocks))
    if tally.samples:
        subject.facts["median_amplitude"] = tally.median_amplitude
        judge(subject, tally, settings.min_usable, settings.warn_usable)
    else:
        subject.hold("data", False, "no cross-correlation could be read")


def _rows(dataset, start: int, stop: int) -> NDArray:
    """Rows of a dataset as (row, channel, polarisation)."""
    block = dataset[start:stop]
    if block.dtype.names:  # integer or half-float pairs of the UVH5 memo
        block = block["r"].astype(np.float32) + np.complex64(1j) * block["i"].astype(np.float32)
    return block.reshape(block.shape[0], *block.shape[-2:])
