"""``contimg convert``: a group's UVH5 files become one flagged Measurement Set."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.convert import write
from contimg.convert.flag import flag_invalid, flag_subband
from contimg.convert.options import ConvertOptions, FlagOptions
from contimg.convert.phase import Rephasing, fill_missing, rephase_drift, turn
from contimg.convert.read import Layout, read_layout, read_subband
from contimg.core.beam import InstrumentOptions
from contimg.core.catalog import read_sources
from contimg.core.command import Command, Files
from contimg.core.coords import icrs_on_meridian, mjd_time
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import Group, read_manifest
from contimg.core.records import Check, atomic, check, write_record


class ConvertFiles(Files):
    """Inputs and outputs of a conversion."""

    manifest: Path = Field(description="the group's manifest")
    calibrator: str | None = Field(None, description="phase to this calibrator, not the tile")
    calibrators: Path | None = Field(None, description="table of the calibrators")
    ms: Path = Field(description="Measurement Set to write")
    record: Path = Field(description="JSON record to write")


def run(
    files: ConvertFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
) -> None:
    """Convert one group."""
    group, entries = read_manifest(files.manifest)
    layout = read_layout(entries[0]["path"])
    centre = phase_center(group, files)
    phasing = rephasing(group, layout, centre)
    pointing = pointings(group, layout)
    freq, width, slots = channel_grid(group, entries, instrument)
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
    with (
        atomic(files.ms) as partial,
        write.MeasurementSet(partial, layout, description) as output,
    ):
        output.put_uvw(-phasing.uvw_m)
        counts = _convert_subbands(output, layout, phasing, entries, slots, freq.size, flag)
    usable = counts["usable_fraction"]
    if usable < convert.min_usable:
        raise DataQualityError(f"{usable:.1%} of the data usable, {convert.min_usable:.0%} needed")
    missing = sorted(set(range(instrument.subbands)) - set(slots))
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
            "channels": int(freq.size),
            "freq_min_hz": float(freq[0] - width / 2),
            "freq_max_hz": float(freq[-1] + width / 2),
            "missing_subbands": missing,
            **counts,
        },
        checks=_checks(usable, missing, layout, phasing, convert),
        options=(instrument, convert, flag),
        inputs=[files.manifest],
    )


def phase_center(group: Group, files: ConvertFiles) -> tuple[float, float]:
    """ICRS phase centre [rad]: the tile's, or the calibrator's for drift scans.

    Data with a sidereal phase centre keep it: their uvw need not agree with the antenna
    positions, and the sky model takes care of an offset.
    """
    if files.calibrator is None or group.tracking == "sidereal":
        return float(np.radians(group.ra_deg)), float(np.radians(group.dec_deg))
    if files.calibrators is None:
        raise ContimgError("--calibrator needs --calibrators, the table that holds its position")
    table = read_sources(files.calibrators)
    row = table[table["name"] == files.calibrator]
    if row.empty:
        raise ContimgError(f"{files.calibrators}: no calibrator named {files.calibrator}")
    ra, dec = row[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0]
    return float(np.radians(ra)), float(np.radians(dec))


def rephasing(group: Group, layout: Layout, centre: tuple[float, float]) -> Rephasing:
    """How phases and uvw change towards `centre`."""
    if group.tracking == "sidereal":
        uvw = fill_missing(layout.uvw_m, layout.ant1, layout.ant2)
        return Rephasing(uvw, np.zeros(uvw.shape[:2]), uvw)
    return rephase_drift(
        times_jd=layout.times_jd,
        location=layout.location,
        antenna_positions_m=layout.antenna_positions_m,
        ant1=layout.ant1,
        ant2=layout.ant2,
        dec_app_rad=np.radians(group.dec_app_deg),
        ra_rad=centre[0],
        dec_rad=centre[1],
    )


def pointings(group: Group, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """ICRS direction of the dishes at each time [rad]."""
    if group.tracking == "sidereal":
        shape = layout.times_jd.shape
        return np.full(shape, np.radians(group.ra_deg)), np.full(shape, np.radians(group.dec_deg))
    time = mjd_time(layout.times_jd - 2400000.5)
    return icrs_on_meridian(np.radians(group.dec_app_deg), time, group.location)


def channel_grid(
    group: Group, entries: list[dict], instrument: InstrumentOptions
) -> tuple[np.ndarray, float, list[int]]:
    """Channel centres [Hz] of the whole band, ascending, their width, each file's place in it."""
    from contimg.core.uvh5 import read_header

    n_chan = read_header(entries[0]["path"]).n_channels
    total = n_chan * instrument.subbands
    width = (group.freq_max_hz - group.freq_min_hz) / total
    freq = group.freq_min_hz + width * (np.arange(total) + 0.5)
    slots = [round((e["freq_min_hz"] - group.freq_min_hz) / (width * n_chan)) for e in entries]
    return freq, width, slots


def antenna_names(names: list[str], prefix: str) -> list[str]:
    """Names that CASA's selections take as names: bare numbers get the prefix, no odd signs."""
    return [
        f"{prefix}{name}" if name.isdigit() else re.sub(r"[^A-Za-z0-9_-]", "-", name)
        for name in names
    ]


def _convert_subbands(output, layout, phasing, entries, slots, n_channels, flag) -> dict:
    """Stream the subbands into the MS; flag statistics."""
    n_times, n_base = layout.times_jd.size, layout.ant1.size
    n_corr = len(layout.polarisations)
    per_subband = n_channels
    weight_sum = np.zeros((n_times, n_base, n_corr))
    usable_channels = np.zeros((n_times, n_base, n_corr))
    by_channel = np.ones(n_channels)
    by_step: dict[str, float] = {}
    done = set()
    for entry, slot in zip(entries, slots, strict=True):
        subband = read_subband(entry["path"], layout)
        per_subband = subband.freq_hz.size
        flag_invalid(subband.data, subband.flags, subband.nsamples)
        by_step["invalid"] = by_step.get("invalid", 0) + float(subband.flags.mean())
        for name, added in flag_subband(
            subband.data, subband.flags, layout.ant1, layout.ant2, flag
        ).items():
            by_step[name] = by_step.get(name, 0) + added
        turn(subband.data, phasing.delta_w_m, subband.freq_hz)
        np.conj(subband.data, out=subband.data)
        first = slot * per_subband
        output.put_channels(first, subband.data, subband.flags)
        by_channel[first : first + per_subband] = subband.flags.mean(axis=(0, 1, 3))
        good = ~subband.flags
        full = max(float(subband.nsamples.max()), 1.0)
        weight_sum += np.where(good, subband.nsamples / full, 0).sum(axis=2)
        usable_channels += good.sum(axis=2)
        done.add(slot)
        print(f"subband {slot:2d}: {subband.flags.mean():6.1%} flagged", file=sys.stderr)
    _blank_missing(output, done, per_subband, n_channels, (n_times, n_base, n_corr))
    width = entries[0]["freq_max_hz"] - entries[0]["freq_min_hz"]
    # variance of a visibility goes as 1/(2 dnu dt): the unit of CASA's weights
    unit = 2 * width / per_subband * layout.integration_s
    weight = unit * weight_sum / np.maximum(usable_channels, 1)
    output.put_weights(weight, usable_channels.max(axis=2) == 0)
    antennas = np.union1d(layout.ant1, layout.ant2)
    fraction = 1 - usable_channels.mean(axis=(0, 2)) / n_channels
    by_antenna = [float(fraction[(layout.ant1 == a) | (layout.ant2 == a)].mean()) for a in antennas]
    return {
        "usable_fraction": float(usable_channels.sum() / (n_times * n_base * n_corr * n_channels)),
        "flagged_by_step": {k: v / len(entries) for k, v in by_step.items()},
        "flagged_by_channel": [round(float(x), 4) for x in by_channel],
        "flagged_by_antenna": {
            layout.antenna_names[a]: round(f, 4) for a, f in zip(antennas, by_antenna, strict=True)
        },
    }


def _blank_missing(output, done, per_subband, n_channels, shape) -> None:
    """Flag the channels of subbands that are not there."""
    n_times, n_base, n_corr = shape
    for slot in range(n_channels // per_subband):
        if slot not in done:
            block = (n_times, n_base, per_subband, n_corr)
            output.put_channels(slot * per_subband, np.zeros(block, "c8"), np.ones(block, bool))


def _checks(usable, missing, layout, phasing, convert: ConvertOptions) -> list[Check]:
    with np.errstate(invalid="ignore"):
        difference = np.nanmax(np.abs(layout.uvw_m - phasing.old_uvw_m))
    return [
        check("usable fraction", usable, warn_below=convert.warn_usable),
        check("missing subbands", len(missing), warn_above=0),
        check(
            "uvw of the file against antenna positions",
            float(difference),
            "m",
            warn_above=convert.uvw_tolerance_m,
        ),
    ]


COMMAND = Command(
    help="Convert a group of UVH5 files to a flagged Measurement Set with one phase centre.",
    files=ConvertFiles,
    options=(InstrumentOptions, ConvertOptions, FlagOptions),
    run=run,
    outputs=("ms", "record"),
    record="record",
)
