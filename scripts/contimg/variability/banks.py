"""What a light curve may do besides noise: banks of templates, a class each.

Every template has an amplitude relative to the baseline, with a uniform prior between limits,
and a weight: its prior probability within the class. Classes:

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

from contimg.variability.filters import supports
from contimg.variability.profiles import ALPHAS, KINDS, POWERS, SIZES, Dips, changes, depths, place

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

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """(blocks, 2) where blocks of neighbours are not zero, as :func:`filters.supports`."""
        return supports(self.templates)


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


def constrained(change: NDArray, min_points: int) -> NDArray[np.bool_]:
    """Which dips (N, K) the epochs constrain.

    It takes `min_points` epochs below half the depth and ``MIN_BASELINE`` epochs at less than
    a fifth of it: without the first a template would fit single outliers, without the second
    anything that rises or falls.
    """
    in_dip, baseline, lowest = _counted(change)
    return (in_dip >= min_points) & (baseline >= MIN_BASELINE) & (lowest < -0.8)


@numba.njit(cache=True, nogil=True)
def _counted(change):
    """Of every dip (N, K) the epochs below half, those near the baseline, and the lowest value."""
    number, width = change.shape
    in_dip, baseline = np.zeros(width, np.int64), np.zeros(width, np.int64)
    lowest = np.zeros(width)
    for n in range(number):
        for k in range(width):
            value = change[n, k]
            in_dip[k] += value < -0.5
            baseline[k] += abs(value) < 0.2
            lowest[k] = min(lowest[k], value)
    return in_dip, baseline, lowest


def _dip_bank(times: NDArray, min_points: int, width_min: float, width_max: float) -> Bank:
    chosen = widths(times, width_min, width_max)
    rows, weights = [], []
    for width in chosen:
        own = _dips_of_width(times, float(width))
        rows += own
        weights += [-np.log(len(chosen) * len(own))] * len(own)
    change, columns = _dip_changes(rows, times)
    keep = constrained(change, min_points)
    return Bank(
        change.astype(np.float32)[:, keep],
        np.array(weights)[keep],
        np.zeros(keep.sum()),
        depths(_as_dips(columns[:, keep])),
        columns.T[keep],
    )


def allows_dips(times: NDArray, min_points: int, width_min: float, width_max: float | None) -> bool:
    """Whether epochs at `times` [days] constrain any dip of the bank.

    Widths near a fifth of the light curve are tried first: few dips, one of which is nearly always
    constrained.
    """
    times = _sampled(sampling(times))
    chosen = widths(times, width_min, width_max or times[-1])
    for width in chosen[np.argsort(np.abs(np.log(5 * chosen / times[-1])))]:
        rows = _dips_of_width(times, float(width))
        # one in the middle is nearly always constrained
        for some in (rows[len(rows) // 4 :][:1], rows):
            change, _ = _dip_changes(some, times)
            if constrained(change, min_points).any():
                return True
    return False


def _dips_of_width(times: NDArray, width: float) -> list[tuple]:
    """Parameters of the dips of one width, in the order of :class:`Dips`."""
    gap, span, step = typical_gap(times), times[-1], spacing(times)
    number = NARROW_SHAPES if width < NARROW_EPOCHS * gap else len(SHAPES)
    centres = np.arange(-width / 3, span + width / 3 + 1e-9, step.t0_step * width)
    rows = []
    for name, alpha, size in SHAPES[: min(number, step.shapes)]:
        a = float(place(alpha, POWERS if name == "smooth" else ALPHAS))
        shape = KINDS.index(name), a, float(place(size, SIZES)), 0.0
        rows += [(*shape, width, t0) for t0 in centres]
    return rows


def _dip_changes(rows: list[tuple], times: NDArray) -> tuple[NDArray, NDArray]:
    """Templates (N, K) of dips and their parameters (6, K)."""
    columns = np.array(rows).T
    return changes(_as_dips(columns), times), columns


def _as_dips(columns: NDArray) -> Dips:
    return Dips(columns[0].astype(int), *columns[1:])


@numba.njit(cache=True, nogil=True)
def flares(peak, rise, decay, times):
    """(N, K) float32 flares of amplitude one: exponential `rise` and `decay` times [days].

    A negative rise is that of a symmetric bump, Gaussian of this FWHM.
    """
    result = np.zeros((len(times), len(peak)), np.float32)
    for n in range(len(times)):
        for k in range(len(peak)):
            since = times[n] - peak[k]
            if since > FADED * decay[k] or since < -FADED * max(abs(rise[k]), 1e-6):
                continue
            if rise[k] < 0:
                result[n, k] = math.exp(-4 * math.log(2) * (since / rise[k]) ** 2)
            elif since >= -1e-6:
                result[n, k] = math.exp(-since / decay[k])
            elif rise[k] > 0:
                result[n, k] = math.exp(since / rise[k])
    return result


def flare_decays(times: NDArray) -> NDArray[np.float64]:
    """Decay times [days] of the flares of a bank, one as probable as the other."""
    gap, ratio = typical_gap(times), spacing(times).decay_ratio
    longest = max(times[-1], 1.1 * gap)
    return np.geomspace(gap, longest, 2 + int(np.ceil(np.log(longest / gap) / np.log(ratio))))


def _flare_bank(times: NDArray) -> Bank:
    span, step, decays = times[-1], spacing(times), flare_decays(times)
    rows, weights, number = [], [], len(decays)
    for decay in decays:
        peaks = _thinned(times, step.peak_step * decay)
        rows += [(peak, rise * decay, decay) for rise in step.rises for peak in peaks]
        bumps = np.arange(-decay / 3, span + decay / 3, step.peak_step * decay)
        rows += [(peak, -BUMP * decay, decay) for peak in bumps]
        kinds = len(step.rises)
        weights += [-np.log(2 * number * kinds * len(peaks))] * (kinds * len(peaks))
        weights += [-np.log(2 * number * len(bumps))] * len(bumps)
    parameters = np.array(rows)
    templates = flares(*parameters.T, times)
    keep = (templates.max(axis=0) > 0.5) & (templates.min(axis=0) < 0.5)
    return _bank(templates[:, keep], parameters[keep], 0.0, MAX_FLARE, np.array(weights)[keep])


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
    return _bank(-inside, parameters, -MAX_CHANGE, MAX_CHANGE, weight)


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
    bank = _bank(sines(frequency, times), frequency[:, None], 0.0, MAX_CHANGE, weight)
    return replace(bank, pairs=True)


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
