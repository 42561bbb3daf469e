"""What a light curve may do besides noise: banks of templates, a class each.

Every template has an amplitude relative to the baseline, with a uniform prior between limits
(that of bad blocks is the sum of two), and a weight: its prior probability within the class.
Classes:

    ese        dips of :mod:`contimg.variability.profiles`: lenses, and smooth ones
    flare      fast rise and exponential decay, and symmetric bumps
    step       another level from some epoch on
    bad_block  a few epochs in a row, all too high or too low by the same
    periodic   a sine wave of at least one and a half periods
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.filters import Packed, packed, supports
from contimg.variability.pieces import Pieces
from contimg.variability.profiles import ALPHAS, KINDS, POWERS, SIZES, Dips, depths, pieces, place

CLASSES = ("ese", "flare", "step", "bad_block", "periodic")
ESE = CLASSES.index("ese")
# kind, alpha or power, size: narrow dips are searched with the first few
SHAPES = (
    ("lens", 5.0, 0.3),
    ("smooth", 2.0, 0.3),
    ("lens", 0.8, 0.5),
    ("lens", 15.0, 0.5),
    ("ring", 1.5, 0.3),
    ("smooth", 5.0, 0.3),
)
NARROW_EPOCHS, NARROW_SHAPES = 6, 3
MIN_BASELINE = 3  # epochs with less than a fifth of the depth
STEP_EPOCHS = 3  # on either side of a step
MAX_FLARE, MAX_CHANGE = 5.0, 1.0  # largest amplitudes, in baselines
# bad data are more often low by some tens of percent than by most of the flux: the part of the
# largest change within which most blocks are, and how many of them
USUAL_BLOCKS = (0.4, 0.8)
MIN_SPAN_DAYS = 0.5  # of a light curve
BUMP = 1.2  # FWHM of a bump over the decay time of the flare that it goes with
FADED = 12.0  # rise or decay times from its peak on a flare is zero: e^-12 of it is left
_RESOLUTION_DAYS = 0.01


@dataclass(frozen=True)
class Spacing:
    """How densely templates lie; the best of the bank is optimised in any case."""

    width_ratio: float  # of neighbouring widths of dips
    t0_step: float  # in widths
    shapes: int  # of dips, the first of SHAPES
    decay_ratio: float  # of neighbouring decay times of flares
    peak_step: float  # in decay times
    rises: tuple[float, ...]  # of flares, in decay times
    lengths: tuple[int, ...]  # of bad blocks, in epochs
    frequency_step: float  # of sine waves, over the length of the light curve


FINE = Spacing(1.3, 0.25, len(SHAPES), 1.6, 0.25, (0.0, 0.25), tuple(range(1, 9)), 0.2)
# a long light curve has more signal to show, and its bank must fit into memory
COARSE = Spacing(1.5, 0.35, 2, 2.0, 0.5, (0.0,), (1, 2, 4, 8), 0.35)
LONG_EPOCHS = 250


def spacing(times: NDArray) -> Spacing:
    """That of a light curve of this length in typical gaps."""
    return FINE if np.ptp(times) < LONG_EPOCHS * typical_gap(times) else COARSE


@dataclass(frozen=True)
class Bank:
    """K templates of one class at N epochs."""

    templates: NDArray[np.float32]  # (N, K)
    log_weight: NDArray[np.float64]  # (K,)
    low: NDArray[np.float64]  # (K,) limits of the amplitude
    high: NDArray[np.float64]
    parameters: NDArray[np.float64]  # (K, P): what the class knows its templates by
    pairs: bool = False  # cosine, sine and their sum for every row of parameters
    # part of the limits within which amplitudes are more often, and how often that is so
    usual: tuple[float, float] = (1.0, 0.0)
    where: NDArray[np.int64] | None = None  # the support, if it is known

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """(blocks, 2) where blocks of neighbours are not zero, as :func:`filters.supports`."""
        return supports(self.templates) if self.where is None else self.where

    @cached_property
    def packed(self) -> Packed:
        """The templates as filters read them."""
        return packed(self.templates, self.support)


@dataclass(frozen=True)
class Banks:
    """The banks of all classes that the epochs allow."""

    of_class: dict[str, Bank]


def make_banks(times: NDArray, min_points: int, width_min: float, width_max: float | None) -> Banks:
    """Banks for epochs at `times` [days]."""
    return _make_banks(sampling(times), min_points, width_min, width_max)


def sampling(times: NDArray) -> bytes:
    """Times after the first in units of the resolution: equal samplings share templates."""
    return np.round((times - times[0]) / _RESOLUTION_DAYS).astype(np.int64).tobytes()


def _sampled(ticks: bytes) -> NDArray[np.float64]:
    """The times [days] of a sampling."""
    return np.frombuffer(ticks, np.int64) * _RESOLUTION_DAYS


@lru_cache(maxsize=1)
def _make_banks(ticks, min_points, width_min, width_max) -> Banks:
    times = _sampled(ticks)
    banks = {
        "ese": _dip_bank(times, min_points, width_min, width_max or times[-1]),
        "flare": _flare_bank(times),
        "step": _step_bank(times),
        "bad_block": _block_bank(times),
        "periodic": _sine_bank(times),
    }
    return Banks({name: bank for name, bank in banks.items() if bank.templates.shape[1]})


def typical_gap(times: NDArray) -> float:
    """Median time between epochs [days]."""
    return max(float(np.median(np.diff(times))), 2 * _RESOLUTION_DAYS)


def widths(times: NDArray, width_min: float, width_max: float) -> NDArray[np.float64]:
    """Widths [days] that are searched, at least two epochs and at most the light curve."""
    low = max(width_min, 2 * typical_gap(times))
    high = max(low, min(width_max, times[-1] - times[0]))
    return np.geomspace(
        low, high, 1 + int(np.ceil(np.log(high / low) / np.log(spacing(times).width_ratio)))
    )


def constrained(dips: Pieces, epochs: int, min_points: int) -> NDArray[np.bool_]:
    """Which dips (K,) the epochs constrain.

    It takes `min_points` epochs below half the depth and ``MIN_BASELINE`` epochs at less than
    a fifth of it: without the first a template would fit single outliers, without the second
    anything that rises or falls.
    """
    in_dip, changed, lowest = dips.counted()
    return (in_dip >= min_points) & (epochs - changed >= MIN_BASELINE) & (lowest < -0.8)


def _dip_bank(times: NDArray, min_points: int, width_min: float, width_max: float) -> Bank:
    chosen = widths(times, width_min, width_max)
    of_width = [_dips_of_width(times, float(width)) for width in chosen]
    weight = [np.full(own.shape[1], -np.log(len(chosen) * own.shape[1])) for own in of_width]
    columns = np.concatenate(of_width, axis=1)
    found = pieces(_as_dips(columns), times)
    keep = constrained(found, len(times), min_points)
    templates, support = found.whole(len(times), keep)
    return Bank(
        templates,
        np.concatenate(weight)[keep],
        np.zeros(keep.sum()),
        depths(_as_dips(columns[:, keep])),
        columns.T[keep],
        where=support,
    )


def allows_dips(times: NDArray, min_points: int, width_min: float, width_max: float | None) -> bool:
    """Whether epochs at `times` [days] constrain any dip of the bank.

    Widths near a fifth of the light curve are tried first: few dips, one of which is nearly always
    constrained.
    """
    times = _sampled(sampling(times))
    chosen = widths(times, width_min, width_max or times[-1])
    for width in chosen[np.argsort(np.abs(np.log(5 * chosen / times[-1])))]:
        columns = _dips_of_width(times, float(width))
        # one in the middle is nearly always constrained
        for some in (columns[:, columns.shape[1] // 4 :][:, :1], columns):
            if constrained(pieces(_as_dips(some), times), len(times), min_points).any():
                return True
    return False


def _dips_of_width(times: NDArray, width: float) -> NDArray[np.float64]:
    """Parameters (6, K) of the dips of one width, in the order of :class:`Dips`."""
    gap, span, step = typical_gap(times), times[-1], spacing(times)
    number = NARROW_SHAPES if width < NARROW_EPOCHS * gap else len(SHAPES)
    centres = np.arange(-width / 3, span + width / 3 + 1e-9, step.t0_step * width)
    parts = []
    for name, alpha, size in SHAPES[: min(number, step.shapes)]:
        a = float(place(alpha, POWERS if name == "smooth" else ALPHAS))
        columns = np.empty((6, len(centres)))
        columns.T[:] = KINDS.index(name), a, float(place(size, SIZES)), 0.0, width, 0.0
        columns[5] = centres
        parts.append(columns)
    return np.concatenate(parts, axis=1)


def _as_dips(columns: NDArray) -> Dips:
    return Dips(columns[0].astype(int), *columns[1:])


def flares(peak: NDArray, rise: NDArray, decay: NDArray, times: NDArray) -> NDArray[np.float32]:
    """(N, K) flares of amplitude one: exponential `rise` and `decay` times [days].

    A negative rise is that of a symmetric bump, Gaussian of this FWHM.
    """
    return _flare_pieces(peak, rise, decay, times).whole(len(times), np.ones(len(peak), bool))[0]


def _flare_pieces(peak: NDArray, rise: NDArray, decay: NDArray, times: NDArray) -> Pieces:
    """The same where they are not zero, for ascending `times`."""
    first = np.searchsorted(times, peak - FADED * np.maximum(np.abs(rise), 1e-6))
    last = np.maximum(np.searchsorted(times, peak + FADED * decay, side="right"), first)
    place = np.append(0, np.cumsum(last - first))
    return Pieces(first, last, place, _flares(peak, rise, decay, times, first, last, place))


@numba.njit(cache=True, nogil=True)
def _flares(peak, rise, decay, times, first, last, place):
    value = np.zeros(place[-1])
    for k in range(len(peak)):
        for n in range(first[k], last[k]):
            since, p = times[n] - peak[k], place[k] + n - first[k]
            if rise[k] < 0:
                value[p] = math.exp(-4 * math.log(2) * (since / rise[k]) ** 2)
            elif since >= -1e-6:
                value[p] = math.exp(-since / decay[k])
            elif rise[k] > 0:
                value[p] = math.exp(since / rise[k])
    return value


def flare_decays(times: NDArray) -> NDArray[np.float64]:
    """Decay times [days] of the flares of a bank, one as probable as the other."""
    gap, ratio = typical_gap(times), spacing(times).decay_ratio
    longest = max(times[-1], 1.1 * gap)
    return np.geomspace(gap, longest, 2 + int(np.ceil(np.log(longest / gap) / np.log(ratio))))


def _flare_bank(times: NDArray) -> Bank:
    span, step, decays = times[-1], spacing(times), flare_decays(times)
    parts, weights, number = [], [], len(decays)
    for decay in decays:
        peaks = _thinned(times, step.peak_step * decay)
        bumps = np.arange(-decay / 3, span + decay / 3, step.peak_step * decay)
        parts += [_shaped(peaks, rise * decay, decay) for rise in step.rises]
        parts.append(_shaped(bumps, -BUMP * decay, decay))
        kinds = len(step.rises)
        weights += [-np.log(2 * number * kinds * len(peaks))] * (kinds * len(peaks))
        weights += [-np.log(2 * number * len(bumps))] * len(bumps)
    parameters = np.concatenate(parts)
    found = _flare_pieces(*parameters.T, times)
    lowest, highest = found.extremes(len(times))
    keep = (highest > 0.5) & (lowest < 0.5)
    templates, support = found.whole(len(times), keep)
    bank = _bank(templates, parameters[keep], 0.0, MAX_FLARE, np.array(weights)[keep])
    return replace(bank, where=support)


def _shaped(peaks: NDArray, rise: float, decay: float) -> NDArray[np.float64]:
    """Parameters (K, 3) of flares of one shape."""
    return np.column_stack([peaks, np.full(len(peaks), rise), np.full(len(peaks), decay)])


def _thinned(times: NDArray, step: float) -> NDArray[np.float64]:
    """Epochs at least about `step` apart, all of them if `step` is short."""
    _, first = np.unique(np.floor(times / max(step, 1e-9)), return_index=True)
    return times[first]


def _step_bank(times: NDArray) -> Bank:
    edges = np.arange(STEP_EPOCHS, len(times) - STEP_EPOCHS + 1)
    templates = (np.arange(len(times))[:, None] >= edges).astype(float)
    return _bank(templates, times[edges - 1][:, None], -MAX_CHANGE, MAX_CHANGE)


def _block_bank(times: NDArray) -> Bank:
    epochs = np.arange(len(times))[:, None]
    rows = [
        (start, length)
        for length in spacing(times).lengths
        if length <= len(times) // 3
        for start in range(len(times) - length + 1)
    ]
    start, length = np.array(rows, dtype=int).reshape(-1, 2).T
    inside = ((epochs >= start) & (epochs < start + length)).astype(np.float32)
    # every length is as probable
    weight = -np.log(max(len(np.unique(length)), 1) * (len(times) - length + 1.0))
    parameters = np.column_stack([times[start], length])
    bank = _bank(-inside, parameters, -MAX_CHANGE, MAX_CHANGE, weight)
    # the support is known to copies with other weights, too
    return replace(bank, where=supports(bank.templates), usual=USUAL_BLOCKS)


def sines(frequency: NDArray, times: NDArray) -> NDArray[np.float64]:
    """(N, 3 K) float32: for each frequency [1/day] the cosine, the sine and their sum."""
    angle = 2 * np.pi * times[:, None] * frequency
    result = np.empty((*angle.shape, 3), np.float32)
    result[..., 0], result[..., 1] = np.cos(angle), np.sin(angle)
    result[..., 2] = result[..., 0] + result[..., 1]
    return result.reshape(len(times), -1)


def sine_frequencies(times: NDArray) -> NDArray[np.float64]:
    """Frequencies [1/day] of the sine waves of a bank, one as probable as the other."""
    step = spacing(times).frequency_step / times[-1]
    return np.arange(1.5 / times[-1], 0.45 / typical_gap(times), step)


def _sine_bank(times: NDArray) -> Bank:
    frequency = sine_frequencies(times)
    weight = np.full(3 * len(frequency), -np.log(max(len(frequency), 1)))
    step = spacing(times).frequency_step / times[-1]
    templates = _even_sines(1.5 / times[-1], step, len(frequency), times)
    bank = _bank(templates, frequency[:, None], 0.0, MAX_CHANGE, weight)
    return replace(bank, pairs=True)


@numba.njit(cache=True, nogil=True)
def _even_sines(first, step, number, times):
    """As :func:`sines`, for frequencies that are a `step` apart: each angle from the one before."""
    result = np.empty((len(times), 3 * number), np.float32)
    for n in range(len(times)):
        angle = 2 * math.pi * times[n]
        cosine, sine = math.cos(angle * first), math.sin(angle * first)
        c, s = math.cos(angle * step), math.sin(angle * step)
        for k in range(number):
            result[n, 3 * k], result[n, 3 * k + 1] = cosine, sine
            result[n, 3 * k + 2] = np.float32(cosine) + np.float32(sine)
            cosine, sine = cosine * c - sine * s, sine * c + cosine * s
    return result


def _bank(
    templates: NDArray, parameters: NDArray, low: float, high: float, weight: NDArray | None = None
) -> Bank:
    number = templates.shape[1]
    if weight is None:
        weight = np.full(number, -np.log(max(number, 1)))
    return Bank(
        np.ascontiguousarray(templates, dtype=np.float32),
        weight,
        np.full(number, low),
        np.full(number, high),
        parameters,
    )
