"""``contimg convert``: a group's UVH5 files become one flagged Measurement Set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from contimg.convert import write
from contimg.convert.agree import agree
from contimg.convert.inputs import group_and_entries, with_positions, with_sidereal_uvw
from contimg.convert.options import ConvertOptions
from contimg.convert.phase import Rephasing, fill_missing, rephase_drift
from contimg.convert.read import Layout
from contimg.core.command import Command, Files
from contimg.core.coords import apparent, icrs_on_meridian, mjd_time
from contimg.core.disk import need_space
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.records import Check, atomic, check, write_record
from contimg.flag.options import FlagOptions

if TYPE_CHECKING:
    from contimg.flag.context import SubbandContext
    from contimg.flag.summary import Tally

_SAMPLE_BYTES = 9.0  # of a Measurement Set: data and a flag
CORRELATIONS = {-5: "XX", -6: "YY", -1: "RR", -2: "LL"}


class ConvertFiles(Files):
    """Inputs and outputs of a conversion."""

    manifest: Path | None = Field(None, description="the group's manifest")
    files: list[Path] | None = Field(
        None, description="instead: the group's UVH5 files, or a directory of them"
    )
    group: str | None = Field(None, description="the one to take where the files form several")
    calibrator: str | None = Field(None, description="phase to this calibrator, not the tile")
    calibrators: Path | None = Field(None, description="table of the calibrators")
    ms: Path = Field(description="Measurement Set to write")
    record: Path = Field(description="JSON record to write")
    plot: Path | None = Field(None, description="picture of the flags to write")


def run(
    files: ConvertFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
) -> None:
    """Convert one group."""
    group, entries = group_and_entries(files, instrument)
    agreed = agree([entry["path"] for entry in entries])
    header = agreed.header
    layout, moved = with_positions(agreed.layout, convert.antenna_positions)
    if group.tracking == "sidereal":
        layout = with_sidereal_uvw(layout)
    centre = phase_center(group, files)
    phasing = rephasing(group, layout, centre, header.unprojected)
    pointing = pointings(group, layout)
    freq, width, slots = channel_grid(group, entries, header.n_channels, instrument)
    description = write.Description(
        telescope=group.telescope,
        observer=group.telescope,
        field=files.calibrator or group.field or group.group,
        ra_rad=centre[0],
        dec_rad=centre[1],
        freq_hz=freq,
        width_hz=width,
        antenna_names=antenna_names(layout.antenna_names, instrument.antenna_prefix),
        dish_diameter_m=layout.antenna_diameter_m or instrument.dish_diameter_m,
        pointing_ra_rad=pointing[0],
        pointing_dec_rad=pointing[1],
    )
    samples = phasing.uvw_m[..., 0].size * freq.size * len(layout.polarisations)
    need_space(files.ms, samples * _SAMPLE_BYTES)
    with atomic(files.ms) as partial:
        with write.MeasurementSet(partial, layout, description, -phasing.uvw_m) as output:
            # numba and its kernels load while the MS is being created
            from contimg.convert.stream import convert_subbands
            from contimg.flag.measurement_set import flag_measurement_set
            from contimg.flag.summary import checks as flag_checks
            from contimg.flag.summary import for_record, summarise, tally_of

            context = flag_context(group, layout, phasing, pointing, description)
            tally = empty_tally(layout, context)
            limits = instrument.subbands, convert.max_broken_subbands
            counts = convert_subbands(
                output, layout, phasing, entries, slots, context, tally, flag, *limits, agreed
            )
            # variance of a visibility goes as 1/(2 dnu dt): the unit of CASA's weights
            unit = 2 * width * layout.integration_s
            samples = counts.samples / np.maximum(counts.good_channels, 1)
            weight = unit * samples / agreed.samples
            effective = effective_fraction(weight)
            output.put_weights(weight, counts.good_channels.max(axis=2) == 0)
        later = flag_measurement_set(partial, flag)
        if later:
            tally = tally_of(partial)
    flagged = summarise(tally, counts.by_step | later)
    # of the subbands there are: what is missing was accepted before (discover.min_subbands)
    lost = {*counts.broken, *counts.empty}
    missing = sorted(set(range(instrument.subbands)) - set(slots) | lost)
    there = instrument.subbands - len(missing)
    usable = flagged["usable_fraction"] * instrument.subbands / max(there, 1)
    if usable < flag.usable_fail:
        raise DataQualityError(f"{usable:.1%} of the data usable, {flag.usable_fail:.0%} needed")
    if files.plot is not None:
        from contimg.flag.plot import draw

        draw(flagged, files.plot, files.ms.stem)
    write_record(
        files.record,
        product=files.ms.name,
        stage="convert",
        data={
            "group": group.group,
            "ra_deg": float(np.degrees(centre[0])),
            "dec_deg": float(np.degrees(centre[1])),
            "start_mjd": group.start_mjd,
            "end_mjd": group.end_mjd,
            "times": int(layout.times_jd.size),
            "baselines": int(layout.ant1.size),
            "antennas": int(layout.antennas.size),
            "channels": int(freq.size),
            "freq_min_hz": float(freq[0] - width / 2),
            "freq_max_hz": float(freq[-1] + width / 2),
            "missing_subbands": missing,
            "broken_subbands": counts.broken,
            "empty_subbands": counts.empty,
            "effective_fraction": effective,
            "rows_missing": int(np.count_nonzero(layout.row_of < 0)),
            "invalid_samples": counts.invalid,
            "antenna_positions_from_earth_centre": layout.absolute_positions,
            "antennas_moved_m": moved,
            **for_record(flagged),
        },
        checks=[
            *flag_checks(flagged | {"usable_fraction": usable}, flag),
            check(
                "effective fraction of the data, by their weights",
                effective,
                warn_below=convert.effective_warn,
                fail_below=convert.effective_fail,
            ),
            *_checks(missing, layout, phasing, moved, group.tracking, convert),
        ],
        options=(instrument, convert, flag),
        inputs=[Path(e["path"]) for e in entries] if files.manifest is None else [files.manifest],
    )


def effective_fraction(weight: np.ndarray) -> float:
    """(sum w)^2 / (N sum w^2) of the weights above zero: part of the data that decides.

    One where all are alike; small where few rows decide. NaN without any.
    """
    some = weight[weight > 0].astype(float)
    return float(some.sum() ** 2 / (some.size * (some**2).sum())) if some.size else float("nan")


def phase_center(group: Group, files: ConvertFiles) -> tuple[float, float]:
    """ICRS phase centre [rad]: the tile's, or the calibrator's for drift scans.

    Data with a sidereal phase centre keep it: their uvw need not agree with the antenna
    positions, and the sky model takes care of an offset.
    """
    if files.calibrator is None or group.tracking == "sidereal":
        return float(np.radians(group.ra_deg)), float(np.radians(group.dec_deg))
    from contimg.core.catalog import read_sources

    if files.calibrators is None:
        raise ContimgError("--calibrator needs --calibrators, the table that holds its position")
    table = read_sources(files.calibrators)
    row = table[table["name"] == files.calibrator]
    if row.empty:
        raise ContimgError(f"{files.calibrators}: no calibrator named {files.calibrator}")
    ra, dec = row[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0]
    return float(np.radians(ra)), float(np.radians(dec))


def rephasing(
    group: Group, layout: Layout, centre: tuple[float, float], unprojected: bool
) -> Rephasing:
    """How phases and uvw change towards `centre`; those of tracked data stay as they are."""
    tracked = group.tracking == "sidereal"
    turned = rephase_drift(
        times_jd=layout.times_jd,
        location=layout.location,
        antenna_positions_m=layout.antenna_positions_m,
        ant1=layout.ant1,
        ant2=layout.ant2,
        dec_app_rad=centre[1] if tracked else np.radians(group.dec_app_deg),
        ra_rad=centre[0],
        dec_rad=centre[1],
        unprojected=unprojected,
    )
    if not tracked:
        return turned
    uvw = fill_missing(layout.uvw_m, layout.ant1, layout.ant2)
    # towards the centre that was tracked, from the positions: what the file's are held against
    return Rephasing(uvw, np.zeros(uvw.shape[:2]), turned.uvw_m)


def pointings(group: Group, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """ICRS direction of the dishes at each time [rad]."""
    if group.tracking == "sidereal":
        shape = layout.times_jd.shape
        return np.full(shape, np.radians(group.ra_deg)), np.full(shape, np.radians(group.dec_deg))
    time = mjd_time(layout.times_jd - 2400000.5)
    return icrs_on_meridian(np.radians(group.dec_app_deg), time, group.location)


def channel_grid(
    group: Group, entries: list[dict], n_chan: int, instrument: InstrumentOptions
) -> tuple[np.ndarray, float, list[int]]:
    """Channel centres [Hz] of the whole band, ascending, their width, each file's place in it."""
    total = n_chan * instrument.subbands
    width = (group.freq_max_hz - group.freq_min_hz) / total
    freq = group.freq_min_hz + width * (np.arange(total) + 0.5)
    slots = [round((e["freq_min_hz"] - group.freq_min_hz) / (width * n_chan)) for e in entries]
    return freq, width, slots


def antenna_names(names: list[str], prefix: str) -> list[str]:
    """Names that CASA's selections take as names: bare numbers get the prefix, no odd signs.

    Raises :class:`DataQualityError` when two antennas would have one name, or one has none.
    """
    clean = [
        f"{prefix}{name}" if name.isdigit() else re.sub(r"[^A-Za-z0-9_-]", "-", name.strip())
        for name in names
    ]
    if "" in clean or len(set(clean)) != len(clean):
        double = sorted({name or "(empty)" for name in clean if not name or clean.count(name) > 1})
        raise DataQualityError(f"antenna names are not unique: {', '.join(double)}")
    return clean


def flag_context(
    group: Group,
    layout: Layout,
    phasing: Rephasing,
    pointing: tuple[np.ndarray, np.ndarray],
    description: write.Description,
) -> SubbandContext:
    """What the flagging is told about the data; frequencies of the whole band."""
    from contimg.flag.context import SubbandContext

    mjd = layout.times_jd - 2400000.5
    hour_angle, dec = apparent(*pointing, mjd_time(mjd), group.location)
    lat = group.location.lat.rad
    sine = np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(hour_angle)
    return SubbandContext(
        ant1=layout.ant1,
        ant2=layout.ant2,
        antenna_names=description.antenna_names,
        times_mjd=mjd,
        integration_s=layout.integration_s,
        freq_hz=description.freq_hz,
        uvw_m=phasing.uvw_m,
        elevation_rad=np.arcsin(sine),
        antenna_diameter_m=description.dish_diameter_m,
    )


def empty_tally(layout: Layout, context: SubbandContext) -> Tally:
    """What the counts of the flags are going to be of."""
    from contimg.flag.summary import Tally

    return Tally(
        ant1=layout.ant1,
        ant2=layout.ant2,
        antenna_names=context.antenna_names,
        length_m=context.length_m,
        mjd=context.times_mjd,
        freq_hz=context.freq_hz,
        correlations=[CORRELATIONS[p] for p in layout.polarisations],
    )


def _checks(missing, layout, phasing, moved, tracking: str, convert: ConvertOptions) -> list[Check]:
    with np.errstate(invalid="ignore"):
        difference = np.abs(layout.uvw_m - phasing.old_uvw_m)
    limits = {"warn_above": convert.uvw_tolerance_m}
    if tracking == "drift":  # the phases are turned by the positions: they must be right
        furthest, limits["fail_above"] = float(np.nanmax(difference)), convert.uvw_fail_m
    else:  # nothing is turned, the uvw of the file are used
        furthest = float(np.nanmedian(np.linalg.norm(difference, axis=-1)))
    position = check(
        "antenna positions of the table against the file's",
        max(moved.values(), default=0.0),
        "m",
        warn_above=convert.uvw_tolerance_m,
    )
    return [
        *([position] if convert.antenna_positions else []),
        check("missing subbands", len(missing), warn_above=0),
        check(
            "uvw of the file against antenna positions",
            furthest,
            "m",
            **limits,
        ),
    ]


COMMAND = Command(
    help="Convert a group of UVH5 files to a flagged Measurement Set with one phase centre.",
    files=ConvertFiles,
    options=(InstrumentOptions, ConvertOptions, FlagOptions),
    run=run,
    outputs=("ms", "plot", "record"),
    record="record",
    judge=by_checks,
)
