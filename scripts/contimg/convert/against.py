"""Each subband against the others, in the data themselves.

Headers may agree and the data not be what they say: conjugated, in another order of rows, of times
or of channels, or on another scale. What a baseline does from one integration to the next, and
from a channel to another, depends on the sky and on cable lengths, which all subbands share.
Where there are three or more, one that is not like the others is named and left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

_BASELINES = 600  # that are looked at
_SHORTEST_M = 30.0  # on shorter ones fringes hardly turn, so that a wrong sign is not seen
_EQUAL = 1e-5  # rounding of phases that turn, in the mean power of a channel
_LEVEL = 5.0  # an amplitude scale that differs by more is another one
_NOISIER = 1.5  # than the others: it may well show less of what they show
_CLEAR = 12.0  # in errors: what the other subbands must show
_LOST = 0.25  # part of what the others show: no more is left of it
_BROKEN = 0.5  # the same of an integration and the next, which are alike to some per cent


@dataclass(frozen=True)
class Shown:
    """What a subband shows on the baselines looked at."""

    level: float  # root of the mean power of a sample, in the middle channel
    power: NDArray[np.float64]  # (channel,) mean power of a sample, NaN without any
    step: NDArray[np.float64]  # (time - 1,) coherence of each integration with the next
    error: NDArray[np.float64]  # (time - 1,)
    turn: NDArray[np.complex128]  # (baseline, corr) coherence of a channel with a later one


def chosen(uvw_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """The baselines that are looked at: the shortest of more than 30 m from east to west.

    Or the longest, where there are no such.
    """
    east = np.nanmean(np.abs(uvw_m[..., 0]), axis=0)
    order = np.argsort(np.nanmean(np.linalg.norm(uvw_m, axis=-1), axis=0))
    wide = order[east[order] > _SHORTEST_M]
    return np.sort(wide[:_BASELINES] if wide.size else order[-_BASELINES:])


def shown(data: NDArray, flags: NDArray, baselines: NDArray[np.int64]) -> Shown:
    """Look at a subband (time, baseline, channel, corr), its fringes stopped.

    Every sample counts by its phase alone, and the level is that of the middle channel: a
    transmitter in some of them does not decide.
    """
    lag = max(1, data.shape[2] // 4)
    power, count, step, pairs, turn, turned = _sums(data, flags, baselines, lag)
    power, count = power.sum(axis=0), count.sum(axis=0)
    there = count > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return Shown(
            level=float(np.sqrt(np.median(power[there] / count[there]))) if there.any() else 0.0,
            power=power / count,
            step=step.sum(axis=0) / pairs.sum(axis=0),
            error=1 / np.sqrt(2 * pairs.sum(axis=0)),
            turn=np.where(turned > 0, turn / np.where(turned > 0, turned, 1), 0),
        )


def odd_ones(subbands: dict[int, Shown]) -> dict[int, str]:
    """Subbands that are not like the others, and why; none where there are fewer than three."""
    found: dict[int, str] = {}
    if len(subbands) < 3:
        return found
    for slot, mine in subbands.items():
        others = [other for number, other in subbands.items() if number != slot]
        twins = [n for n, other in subbands.items() if n != slot and _same(mine, other)]
        if twins:
            found[slot] = f"its data are those of subband {twins[0]} too: one of them is another's"
        elif why := _odd(mine, others):
            found[slot] = why
    return found if len(found) < len(subbands) / 2 else {}


def _same(mine: Shown, other: Shown) -> bool:
    """Whether two subbands are of the same data: noise is never the same in all channels."""
    if mine.power.shape != other.power.shape or not np.isfinite(mine.power).any():
        return False
    return bool(np.allclose(mine.power, other.power, rtol=_EQUAL, equal_nan=True))


def _odd(mine: Shown, others: list[Shown]) -> str:
    level = mine.level / float(np.median([other.level for other in others]))
    if not 1 / _LEVEL < level < _LEVEL:
        return f"its amplitudes are {level:.3g} times those of the other subbands"
    if level > _NOISIER:
        return ""
    alike, against, clear = _likeness(mine, others)
    if mine.turn.shape[1] == 2:
        swapped = _project(replace(mine, turn=mine.turn[:, ::-1]), others)[0]
        if swapped > alike + _CLEAR:
            return "its correlations are in another order than those of the others"
    if against > _CLEAR and alike < _LOST * against:
        return "its phases turn against those of the others: conjugated, or channels reversed"
    if clear > _CLEAR and max(alike, against) < _LOST * clear:
        return "its rows are not those of the same baselines in the others"
    usual = np.median([other.step for other in others], axis=0)
    broken = (usual > _CLEAR * mine.error) & (mine.step < _BROKEN * usual)
    if broken.any() and not broken.all():
        at = ", ".join(str(number + 1) for number in np.flatnonzero(broken))
        return f"its data are not of one sequence of times: they break after integration {at}"
    if broken.all() and broken.size:
        return "its fringes turn where those of the other subbands stand still"
    return ""


def _likeness(mine: Shown, others: list[Shown]) -> tuple[float, float, float]:
    """How much a subband turns like the others, how much against them; and they like each other.

    In errors of a subband of noise.
    """
    alike, against = _project(mine, others)
    among = [_project(one, [o for o in others if o is not one])[0] for one in others]
    return alike, against, float(np.median(among))


def _project(one: Shown, others: list[Shown]) -> tuple[float, float]:
    mean = np.sum([other.turn for other in others], axis=0)
    norm = np.sqrt(0.5 * np.sum(np.abs(mean) ** 2 * np.mean(np.abs(one.turn) ** 2)))
    if not norm > 0:
        return 0.0, 0.0
    along = np.sum(one.turn * mean.conj()).real / norm
    across = np.sum(one.turn.conj() * mean.conj()).real / norm
    return float(along), float(across)


@njit(parallel=True, cache=True, nogil=True)
def _sums(data, flags, baselines, lag):
    """Sums over what is not flagged, by baseline; compiled: it is a part of every subband."""
    n_time, _, n_chan, n_corr = data.shape
    n_base = baselines.size
    power, count = np.zeros((n_base, n_chan)), np.zeros((n_base, n_chan))
    step, pairs = np.zeros((n_base, n_time - 1)), np.zeros((n_base, n_time - 1))
    turn = np.zeros((n_base, n_corr), np.complex128)
    turned = np.zeros((n_base, n_corr))
    for k in prange(n_base):
        b = baselines[k]
        for t in range(n_time):
            for c in range(n_chan):
                for p in range(n_corr):
                    v = np.complex128(data[t, b, c, p])
                    size = abs(v)
                    if flags[t, b, c, p] or size == 0:
                        continue
                    power[k, c] += size * size
                    count[k, c] += 1
                    if t + 1 < n_time and not flags[t + 1, b, c, p]:
                        w = np.complex128(data[t + 1, b, c, p])
                        if w != 0:
                            step[k, t] += (w * v.conjugate()).real / (size * abs(w))
                            pairs[k, t] += 1
                    if c + lag < n_chan and not flags[t, b, c + lag, p]:
                        w = np.complex128(data[t, b, c + lag, p])
                        if w != 0:
                            turn[k, p] += w * v.conjugate() / (size * abs(w))
                            turned[k, p] += 1
    return power, count, step, pairs, turn, turned
