"""What a conversion starts with: everything about a group but its visibilities."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg.convert import write
from contimg.convert.agree import Agreed, agree
from contimg.convert.inputs import group_and_entries, with_positions, with_sidereal_uvw
from contimg.convert.options import ConvertOptions
from contimg.convert.phase import Rephasing, fill_missing, rephase_drift
from contimg.convert.read import Layout
from contimg.core.coords import apparent, icrs_on_meridian, mjd_time
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions

if TYPE_CHECKING:
    from contimg.flag.context import SubbandContext
    from contimg.flag.summary import Tally

CORRELATIONS = {-5: "XX", -6: "YY", -1: "RR", -2: "LL"}


@dataclasses.dataclass(frozen=True)
class Source:
    """Which group is converted, and to which centre, as flags say it."""

    manifest: Path | None
    files: list[Path] | None
    group: str | None  # which of those that the files form
    calibrator: str | None = None  # the centre, if it is not the tile's
    calibrators: Path | None = None  # table that has its position


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A group, where its files go in the band, and what its Measurement Set is going to say."""

    group: Group
    entries: list[dict]  # of the manifest
    slots: list[int]  # of each of them in the band
    agreed: Agreed
    layout: Layout
    moved: dict[str, float]  # antennas at other positions than in the files [m]
    phasing: Rephasing
    pointing: tuple[NDArray[np.float64], NDArray[np.float64]]  # (time,) ICRS [rad]
    description: write.Description
    inputs: list[Path]  # the manifest, or the files that were named

    @property
    def samples(self) -> int:
        """Visibilities of the whole band."""
        rows = self.phasing.uvw_m[..., 0].size
        return rows * self.description.freq_hz.size * len(self.layout.polarisations)


def prepare(source: Source, instrument: InstrumentOptions, convert: ConvertOptions) -> Prepared:
    """Read the headers of a group; :class:`DataQualityError` when it can not be converted."""
    group, entries = group_and_entries(source, instrument)
    agreed = agree([entry["path"] for entry in entries])
    layout, moved = with_positions(agreed.layout, convert.antenna_positions)
    if group.tracking == "sidereal":
        layout = with_sidereal_uvw(layout)
    centre = phase_center(group, source)
    phasing = rephasing(group, layout, centre, agreed.header.unprojected)
    pointing = pointings(group, layout)
    freq, width, slots = channel_grid(group, entries, agreed.header.n_channels, instrument)
    description = write.Description(
        telescope=group.telescope,
        observer=group.telescope,
        field=source.calibrator or group.field or group.group,
        ra_rad=centre[0],
        dec_rad=centre[1],
        freq_hz=freq,
        width_hz=width,
        antenna_names=antenna_names(layout.antenna_names, instrument.antenna_prefix),
        dish_diameter_m=layout.antenna_diameter_m or instrument.dish_diameter_m,
        pointing_ra_rad=pointing[0],
        pointing_dec_rad=pointing[1],
    )
    named = [Path(e["path"]) for e in entries] if source.manifest is None else [source.manifest]
    return Prepared(
        group, entries, slots, agreed, layout, moved, phasing, pointing, description, named
    )


def phase_center(group: Group, source: Source) -> tuple[float, float]:
    """ICRS phase centre [rad]: the tile's, or the calibrator's for drift scans.

    Data with a sidereal phase centre keep it: their uvw need not agree with the antenna
    positions, and the sky model takes care of an offset.
    """
    if source.calibrator is None or group.tracking == "sidereal":
        return float(np.radians(group.ra_deg)), float(np.radians(group.dec_deg))
    from contimg.core.catalog import read_sources

    if source.calibrators is None:
        raise ContimgError("--calibrator needs --calibrators, the table that holds its position")
    table = read_sources(source.calibrators)
    row = table[table["name"] == source.calibrator]
    if row.empty:
        raise ContimgError(f"{source.calibrators}: no calibrator named {source.calibrator}")
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
