"""A calset between two others, at the time of a tile.

Both sets are first turned to one reference antenna. Then, feed by feed (one correlation of one
antenna) and with w the fraction of the way from the first set to the second:

* K linearly;
* amplitudes of B and of G linearly, each by itself;
* phases linearly, unwrapped as follows. With the delays apart, what turned between the sets is
  R(nu) = B2 G2 / (B1 G1). Its mean phase over the band, in (-180, 180] deg, is the drift of the
  feed and goes into G; what is left of R channel by channel, about zero, goes into B. So it does
  not matter how the solver divided a phase between B and G.

What one set lacks is taken from the other: a channel of B turned by the drift of its feed, a feed
as it is. A feed that turned by more than a quarter turn anywhere in the band, delay included, has
not drifted but jumped: its solutions are those of the nearer set. What both lack is flagged.
Gains of several times (2G, or G of short intervals) count at the time nearest to the tile, and 2G
goes into G. Nothing is interpolated from integration to integration of the tile.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.caltable import read_table, table_freq_hz
from contimg.core.ms import open_table

_JUMP_RAD = np.pi / 2


@dataclass(frozen=True)
class Gains:
    """One calset at one time, by number of the antenna; NaN where there is no solution."""

    delay_ns: NDArray[np.float64]  # (antenna, corr); zero without a table K
    band: NDArray[np.complex128]  # (antenna, corr, channel)
    gain: NDArray[np.complex128]  # (antenna, corr)
    freq_hz: NDArray[np.float64]  # (channel,)

    def refer(self, antenna: int) -> Gains:
        """The same with the phases of `antenna` zero."""
        return Gains(
            self.delay_ns - self.delay_ns[antenna],
            self.band * np.exp(-1j * np.angle(self.band[antenna])),
            self.gain * np.exp(-1j * np.angle(self.gain[antenna])),
            self.freq_hz,
        )

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Feeds that have a solution in every table, (antenna, corr)."""
        some = np.isfinite(self.band).any(axis=-1)
        return some & np.isfinite(self.gain) & np.isfinite(self.delay_ns)


def differ(first: dict[str, Path], second: dict[str, Path]) -> str:
    """Why the tables of two calsets cannot be interpolated; empty if they can."""
    if ("K" in first) != ("K" in second):
        return "only one of the two has delays"
    a, b = table_freq_hz(first["B"]), table_freq_hz(second["B"])
    if a.shape != b.shape or np.abs(a - b).max() > 1.0:
        return "their bandpasses have different channels"
    return ""


def read_gains(tables: dict[str, Path], mjd: float) -> Gains:
    """The tables of a calset at the time `mjd`."""
    band = _at(tables["B"], mjd).transpose(0, 2, 1)
    gain = _at(tables["G"], mjd)[:, 0]
    if "2G" in tables:
        gain = gain * _at(tables["2G"], mjd)[:, 0]
    delay = _at(tables["K"], mjd)[:, 0].real if "K" in tables else np.zeros(gain.shape)
    return Gains(delay, band.astype(complex), gain.astype(complex), table_freq_hz(tables["B"]))


def _at(path: Path, mjd: float) -> NDArray:
    """Solutions (antenna, channel, corr) nearest in time to `mjd`, those that are flagged NaN."""
    content = read_table(path)
    with open_table(f"{path}/ANTENNA") as names:
        n_antennas = names.nrows()
    value = content["value"]
    result = np.full((n_antennas, *value.shape[1:]), np.nan, value.dtype)
    for row in np.argsort(-np.abs(content["mjd"] - mjd), kind="stable"):  # the nearest comes last
        antenna = content["antenna"][row]
        result[antenna] = np.where(np.isfinite(value[row]), value[row], result[antenna])
    return result


def common_reference(first: Gains, second: Gains) -> int:
    """The antenna with the most channels solved in both sets; of equals the first."""
    both = np.isfinite(first.band) & np.isfinite(second.band)
    both &= (first.complete & second.complete)[..., None]
    return int(both.all(axis=1).sum(axis=-1).argmax())


def between(first: Gains, second: Gains, weight: float) -> tuple[Gains, dict[str, NDArray]]:
    """The gains `weight` of the way from `first` to `second` (of one reference antenna).

    Also masks (antenna, corr): feeds that ``jumped`` and feeds taken from one set ``alone``.
    """
    both = first.complete & second.complete
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # feeds without solutions
        ratio = second.band * second.gain[..., None] / (first.band * first.gain[..., None])
        unit = ratio / np.abs(ratio)
        drift = np.angle(np.nansum(unit, axis=-1))
        rest = np.angle(unit * np.exp(-1j * drift[..., None]))
        step = second.delay_ns - first.delay_ns
        turn = 2 * np.pi * step[..., None] * 1e-9 * (first.freq_hz - first.freq_hz.mean())
        turned = np.abs(drift[..., None] + rest + turn)
        jumped = both & (np.nanmax(turned, axis=-1) > _JUMP_RAD)
        # in the division of `first`, as far as the drift goes
        moved = np.exp(1j * (np.angle(second.gain / first.gain) - drift))[..., None] * second.band
    band = _line(first.band, second.band, rest, weight)
    band = np.where(np.isfinite(first.band), band, moved)
    band = np.where(np.isfinite(second.band), band, first.band)
    gain = _line(first.gain, second.gain, drift, weight)
    delay = first.delay_ns + weight * step
    nearer = second if weight > 0.5 else first
    for mask, source in (
        (jumped, nearer),
        (first.complete & ~second.complete, first),
        (second.complete & ~first.complete, second),
    ):
        delay = np.where(mask, source.delay_ns, delay)
        band = np.where(mask[..., None], source.band, band)
        gain = np.where(mask, source.gain, gain)
    either = first.complete | second.complete
    band = np.where(either[..., None], band, np.nan)
    result = Gains(
        np.where(either, delay, np.nan), band, np.where(either, gain, np.nan), first.freq_hz
    )
    return result, {"jumped": jumped, "alone": first.complete ^ second.complete}


def _line(first: NDArray, second: NDArray, turn: NDArray, weight: float) -> NDArray:
    """Amplitude on a straight line between the two, phase that of `first` plus weight x turn."""
    amplitude = (1 - weight) * np.abs(first) + weight * np.abs(second)
    return amplitude * np.exp(1j * (np.angle(first) + weight * turn))


def interpolate(
    first: dict[str, Path], second: dict[str, Path], weight: float, mjd: float, scratch: Path
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Tables K, B, G at `mjd` below `scratch`, and what to say of them in a record."""
    sets = [read_gains(tables, mjd) for tables in (first, second)]
    reference = common_reference(*sets)
    gains, masks = between(*(g.refer(reference) for g in sets), weight)
    with open_table(f"{first['G']}/ANTENNA") as table:
        names = list(table.getcol("NAME"))
    values = {
        "K": gains.delay_ns[:, None],
        "B": gains.band.transpose(0, 2, 1),
        "G": gains.gain[:, None],
    }
    written = {}
    for name in [n for n in values if n in first]:
        written[name] = scratch / f"interpolated.{name}"
        shutil.copytree(first[name], written[name])
        _write(written[name], values[name], mjd)
    return written, {
        "reference": names[reference],
        **{
            f"feeds_{what}": {
                names[a]: [int(c) for c in np.flatnonzero(mask[a])]
                for a in np.flatnonzero(mask.any(axis=1))
            }
            for what, mask in masks.items()
        },
    }


def _write(path: Path, value: NDArray, mjd: float) -> None:
    """Replace the solutions of a table by `value` (antenna, channel, corr), NaN flagged."""
    with open_table(path, writable=True) as table:
        column = "FPARAM" if "FPARAM" in table.colnames() else "CPARAM"
        antennas = table.getcol("ANTENNA1")
        first = np.unique(antennas, return_index=True)[1]
        table.removerows(np.setdiff1d(np.arange(antennas.size), first))
        antennas = table.getcol("ANTENNA1")
        rows = value[antennas]
        missing = ~np.isfinite(rows)
        table.putcol(column, np.where(missing, 1, rows).astype(table.getcol(column).dtype))
        table.putcol("FLAG", missing)
        table.putcol("TIME", np.full(antennas.size, mjd * 86400))
