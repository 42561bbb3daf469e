"""Steps that flag by what is known beforehand: geometry, names, times, amplitudes."""

from __future__ import annotations

import numpy as np

from contimg.core.errors import ContimgError
from contimg.flag import kernels
from contimg.flag.context import Subband
from contimg.flag.manual import read_table, rows_mask
from contimg.flag.options import FlagOptions


def zeros(subband: Subband, options: FlagOptions) -> None:
    """Where one correlation is exactly zero (invalid in any case), the other goes too."""
    flags = subband.flags
    flags |= (subband.data == 0).any(axis=-1, keepdims=True)


def clip(subband: Subband, options: FlagOptions) -> None:
    """Amplitudes outside the range given."""
    _, n_base, _, n_corr = subband.data.shape
    lowest = np.full((n_base, n_corr), options.clip_min or 0, np.float32)
    highest = options.clip_max if options.clip_max is not None else np.inf
    limits = lowest, np.full((n_base, n_corr), highest, np.float32)
    kernels.clip(subband.amplitude, subband.flags, *limits)


def shadow(subband: Subband, options: FlagOptions) -> None:
    """Antennas that another one stands in front of, at the times when it does."""
    context = subband.context
    u, v, w = np.moveaxis(context.uvw_m, -1, 0)
    near = np.hypot(u, v) < context.antenna_diameter_m - options.shadow_tolerance_m
    # uvw is antenna 2 minus antenna 1: with w > 0 antenna 2 is nearer to the source
    behind = np.where(w > 0, context.ant1, context.ant2)
    shadowed = np.zeros((near.shape[0], len(context.antenna_names)), bool)
    times, bases = np.nonzero(near)
    shadowed[times, behind[times, bases]] = True
    subband.flags[shadowed[:, context.ant1] | shadowed[:, context.ant2]] = True


def quack(subband: Subband, options: FlagOptions) -> None:
    """Integrations that overlap the first seconds by more than 1 % of their length."""
    context = subband.context
    begin = (context.times_mjd - context.times_mjd.min()) * 86400
    overlap = options.quack_s - begin
    subband.flags[overlap > 0.01 * context.integration_s] = True


def elevation(subband: Subband, options: FlagOptions) -> None:
    """Times when the dishes point outside the range of elevations."""
    degrees = np.degrees(subband.context.elevation_rad)
    if options.elevation_min_deg is not None:
        subband.flags[degrees < options.elevation_min_deg] = True
    if options.elevation_max_deg is not None:
        subband.flags[degrees > options.elevation_max_deg] = True


def uvrange(subband: Subband, options: FlagOptions) -> None:
    """Projected baselines outside the range of lengths."""
    length = np.hypot(*np.moveaxis(subband.context.uvw_m[..., :2], -1, 0))
    if options.uv_min_m is not None:
        subband.flags[length < options.uv_min_m] = True
    if options.uv_max_m is not None:
        subband.flags[length > options.uv_max_m] = True


def antenna(subband: Subband, options: FlagOptions) -> None:
    """Antennas by name."""
    names = subband.context.antenna_names
    bad = [find_antenna(names, name, "flag.drop_antennas") for name in options.drop_antennas]
    subband.flags[:, subband.context.incidence[bad].any(axis=0)] = True


def baselines(subband: Subband, options: FlagOptions) -> None:
    """Baselines by the names of their antennas, in either order."""
    context = subband.context
    for pair in options.drop_baselines:
        names = [name.strip() for name in pair.split("&")]
        if len(names) != 2:
            raise ContimgError(f"flag.drop_baselines: {pair!r} is not of the form NAME&NAME")
        one, two = (find_antenna(context.antenna_names, n, "flag.drop_baselines") for n in names)
        subband.flags[:, context.incidence[one] & context.incidence[two]] = True


def manual(subband: Subband, options: FlagOptions) -> None:
    """What the table of known bad data names."""
    context = subband.context
    for row in read_table(options.manual_table):
        antennas = slice(None)
        if row.antenna:
            where = f"{options.manual_table}, line {row.line}"
            antennas = context.incidence[find_antenna(context.antenna_names, row.antenna, where)]
        times, channels, corrs = rows_mask(row, context, subband.flags.shape[-1])
        if times.any() and channels.any():
            for corr in corrs:
                for time in np.flatnonzero(times):
                    view = subband.flags[time, ..., corr]
                    view[antennas] |= channels


def find_antenna(names: list[str], name: str, where: str) -> int:
    """Index of an antenna by name, never by number; :class:`ContimgError` if there is none."""
    if name not in names:
        raise ContimgError(
            f"{where}: no antenna named {name!r} in the data; they have {', '.join(names)}"
        )
    return names.index(name)
