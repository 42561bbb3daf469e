"""Checks across the subbands of a group, and of a calibrator that it should contain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from contimg.core.beam import PrimaryBeam
from contimg.core.coords import apparent, icrs_on_meridian, mjd_time, separation, transit_mjd
from contimg.core.groups import Group, group_name
from contimg.core.instrument import InstrumentOptions
from contimg.core.uvh5 import Header
from contimg.validate.verdicts import Subject

# subbands whose data differ more than this in time cannot share one set of phases: 0.1 s of
# sidereal motion is 1.5 arcsec, 2 deg of phase on the longest baseline
_SAME_TIME_S = 0.1


def into_groups(files: list[Subject], tolerance_s: float) -> list[list[Subject]]:
    """Files whose data start together at one pointing; what has no readable time stands alone."""
    runs: dict[tuple, list[list[Subject]]] = {}
    lone: list[list[Subject]] = []
    for subject in sorted(files, key=lambda s: s.data.get("first_mjd", np.inf)):
        header: Header | None = subject.facts.get("header")
        if header is None or "mjd" not in subject.facts:
            lone.append([subject])
            continue
        place = header.dec_app_deg if header.tracking == "drift" else header.dec_deg
        mine = runs.setdefault((header.tracking, round(float(place or 0), 2)), [])
        start = subject.data["first_mjd"]
        if mine and (start - mine[-1][0].data["first_mjd"]) * 86400 <= tolerance_s:
            mine[-1].append(subject)
        else:
            mine.append([subject])
    formed = sorted((r for by in runs.values() for r in by), key=lambda r: r[0].data["first_mjd"])
    return [*formed, *lone]


def check_group(
    files: list[Subject],
    instrument: InstrumentOptions,
    min_subbands: int | None,
    name: str = "",
    alone: bool = False,
) -> Subject:
    """Checks of the files of one group against each other.

    `alone`: a single file that was named by itself is no group that lacks the others.
    """
    good = [f for f in files if {"mjd", "freq_hz", "header", "ant1"} <= set(f.facts)]
    start = good[0].data["first_mjd"] if good else None
    subject = Subject(name or (group_name(start) if start else files[0].name), "group")
    broken = [f.name for f in files if f not in good]
    subject.hold("headers", not broken, f"unusable: {', '.join(broken)}", otherwise="fail")
    if not good:
        return subject
    good.sort(key=lambda f: f.facts["freq_hz"])
    if not alone:
        with subject.attempt("subbands"):
            _subbands(subject, good, instrument, min_subbands)
        with subject.attempt("agreement of the subbands"):
            _agreement(subject, good)
        with subject.attempt("levels of the subbands"):
            _levels(subject, good)
    subject.facts["group"] = _group(subject.name, good, instrument)
    return subject


def _subbands(
    subject: Subject, files: list[Subject], instrument: InstrumentOptions, needed: int | None
) -> None:
    """Missing, doubled and overlapping subbands."""
    lows = [round(f.facts["freq_hz"][0] / 1e4) for f in files]
    double = [f.name for f, low in zip(files, lows, strict=True) if lows.count(low) > 1]
    subject.hold("duplicate subbands", not double, f"same frequencies: {', '.join(double)}")
    distinct = len(set(lows))
    missing = instrument.subbands - distinct
    enough = needed or instrument.subbands
    where = ""
    if missing > 0 and instrument.band_mhz is not None:
        low, high = instrument.band_mhz
        size = (high - low) / instrument.subbands
        have = {round((f.facts["freq_hz"][0] / 1e6 - low) / size) for f in files}
        lost = [low + i * size for i in range(instrument.subbands) if i not in have]
        where = ": " + ", ".join(f"{edge:.2f}-{edge + size:.2f} MHz" for edge in lost)
    subject.hold(
        "missing subbands",
        missing <= 0,
        f"{distinct} of {instrument.subbands} subbands{where}",
        otherwise="fail" if distinct < enough else "warn",
        value=float(max(missing, 0)),
        limit=f"fail if fewer than {enough}",
    )
    if missing < 0:
        subject.hold(
            "subbands more than there are",
            False,
            f"{distinct} subbands, instrument.subbands is {instrument.subbands}",
            otherwise="fail",
            value=float(-missing),
        )
    edges = [f.facts["freq_hz"] for f in files]
    width = files[0].facts["width_hz"]
    overlaps = [
        f"{files[i].name} and {files[i + 1].name}"
        for i in range(len(files) - 1)
        if edges[i + 1][0] < edges[i][1] - 0.25 * width and lows[i] != lows[i + 1]
    ]
    subject.hold("overlapping subbands", not overlaps, f"overlap: {'; '.join(overlaps)}")
    subject.data |= {"subbands": distinct, "files": [f.name for f in files]}


def _agreement(subject: Subject, files: list[Subject]) -> None:
    """Times, channels, antennas, positions and pointing are those of the first subband."""
    first = files[0].facts

    def odd(test) -> list[str]:
        return [f.name for f in files[1:] if not test(f.facts)]

    same_number = odd(lambda f: f["mjd"].size == first["mjd"].size)
    subject.hold("number of times equal", not same_number, f"differs: {', '.join(same_number)}")
    if not same_number:
        apart = [float(np.abs(f.facts["mjd"] - first["mjd"]).max()) * 86400 for f in files]
        subject.limit(
            "times of the subbands",
            max(apart),
            "s apart",
            warn_above=0.001,
            fail_above=_SAME_TIME_S,
        )
    for what, key in (("channels", "n_channels"), ("channel width", "width_hz")):
        different = odd(lambda f, key=key: abs(f[key] - first[key]) <= 1e-6 * first[key])
        subject.hold(f"{what} equal", not different, f"differs: {', '.join(different)}")
    for what, key in (
        ("baselines", "ant1"),
        ("baselines (second antenna)", "ant2"),
        ("antennas", "antennas"),
    ):
        different = odd(lambda f, key=key: np.array_equal(f[key], first[key]))
        subject.hold(f"{what} equal", not different, f"differ: {', '.join(different)}")
    moved = odd(
        lambda f: (
            f["positions_m"].shape == first["positions_m"].shape
            and np.allclose(f["positions_m"], first["positions_m"], atol=1e-3, equal_nan=True)
        )
    )
    subject.hold("antenna positions equal", not moved, f"differ: {', '.join(moved)}")


def _levels(subject: Subject, files: list[Subject]) -> None:
    """No subband much louder or quieter than the others: a node without signal, or clipping."""
    level = np.array([f.facts.get("median_amplitude", 0.0) for f in files])
    typical = float(np.median(level[level > 0])) if (level > 0).any() else 0.0
    odd = [
        f.name
        for f, value in zip(files, level, strict=True)
        if not 0.1 * typical <= value <= 10 * typical
    ]
    subject.hold(
        "levels of the subbands",
        not odd and typical > 0,
        f"median amplitude beyond a factor of ten of the others': {', '.join(odd)}",
        otherwise="warn",
        value=typical,
        unit="data units",
    )


def _group(name: str, files: list[Subject], instrument: InstrumentOptions) -> Group:
    """The group as discovery would describe it."""
    header: Header = files[0].facts["header"]
    low = min(f.facts["freq_hz"][0] for f in files)
    high = max(f.facts["freq_hz"][1] for f in files)
    if instrument.band_mhz is not None:
        low, high = (edge * 1e6 for edge in instrument.band_mhz)
    half = header.integration_s / 2 / 86400
    group = Group(
        group=name,
        telescope=header.telescope,
        latitude_deg=header.latitude_deg,
        longitude_deg=header.longitude_deg,
        height_m=header.height_m,
        start_mjd=header.first_mjd - half,
        end_mjd=header.last_mjd + half,
        integration_s=header.integration_s,
        n_times=header.n_times,
        tracking=header.tracking,
        dec_app_deg=header.dec_app_deg,
        ra_deg=header.ra_deg or 0.0,
        dec_deg=header.dec_deg or 0.0,
        field=header.field,
        freq_min_hz=low,
        freq_max_hz=high,
        subbands=len(files),
    )
    if group.tracking != "drift":
        return group
    dec = np.radians(group.dec_app_deg)
    ra, dec = icrs_on_meridian(dec, mjd_time(group.mid_mjd), group.location)
    return dataclasses.replace(
        group, ra_deg=float(np.degrees(ra)) % 360, dec_deg=float(np.degrees(dec))
    )


def check_calibrator(
    subject: Subject,
    calibrators: pd.DataFrame,
    name: str,
    instrument: InstrumentOptions,
    dec_tolerance_deg: float,
    min_pb: float,
) -> None:
    """Whether the group contains the calibrator's apparent transit, and how well it is seen."""
    group: Group | None = subject.facts.get("group")
    if group is None:
        subject.hold(f"transit of {name}", False, "no header tells the times of the group")
        return
    row = calibrators[calibrators["name"] == name]
    ra, dec = np.radians(row[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0])
    nearest = transit_mjd(ra, dec, group.mid_mjd, group.location)
    minutes = (nearest - group.mid_mjd) * 1440
    offset = separation(ra, dec, np.radians(group.ra_deg), np.radians(group.dec_deg))
    if group.tracking == "drift":
        inside = group.start_mjd <= nearest <= group.end_mjd
        subject.hold(
            f"transit of {name}",
            inside,
            f"nearest transit is {minutes:+.1f} min from the middle of the group, "
            f"which is {(group.end_mjd - group.start_mjd) * 1440:.1f} min long",
            value=round(minutes, 3),
            unit="min from the middle",
        )
        _, dec_app = apparent(ra, dec, mjd_time(nearest), group.location)
        offset = abs(dec_app - np.radians(float(group.dec_app_deg or 0)))
        subject.limit(
            f"pointing declination against {name}",
            float(np.degrees(offset)),
            "deg",
            fail_above=dec_tolerance_deg,
        )
        if not inside:
            return
    middle_hz = (group.freq_min_hz + group.freq_max_hz) / 2
    pb = float(PrimaryBeam(instrument).power(offset, middle_hz))
    subject.limit(f"primary beam at {name}", pb, fail_below=min_pb)
    subject.data["calibrator"] = {"name": name, "transit_mjd": nearest, "pb": pb}
