"""Maximum-likelihood flux densities of all sources together.

    f = (A^H W A)^-1 A^H W V,      cov f = (A^H W A)^-1,

by conjugate gradients on exact products (:mod:`contimg.core.fluxfit.sweep`), preconditioned with
the matrix of :mod:`contimg.core.fluxfit.normal`, until the largest step that is left is below a
hundredth of an error. Typical use::

    model = design(sources, beam, axes)               # what 1 Jy of each gives
    blocks = Arrays(data, weight)                     # or a MeasurementSet, or any Blocks
    solution = fit(model, blocks)
    solution.flux_jy, solution.error_jy               # (source,), at model.unit_hz
    for residual in residuals(model, blocks, solution.flux_jy): ...

Sources whose flux density is known and not to be fitted are `fixed`: they keep that of `start`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from contimg.core.errors import DataQualityError
from contimg.core.fluxfit.design import Design, of_channels
from contimg.core.fluxfit.normal import normal
from contimg.core.fluxfit.sweep import (
    Arrays,
    Block,
    Blocks,
    Sums,
    model_of,
    parts_of,
    sweep,
    take_out,
)

Array = NDArray[np.float64]
_MOST_ITERATIONS = 40
_COARSE, _FEWEST = 8, 8  # one channel in so many makes the start, of at least so many
ROUGH = 1.0  # of its errors, to which it is made
_OF_PARTS = 3.0  # times the tolerance: that of the parts of the band
_STALE = 1.0  # errors: a residual that lacks a step so large is made again
_ALIKE = 0.9999  # two sources whose correlation is above this cannot be told apart
_BUDGET = 5e10  # operations that the matrix may cost before channels are left out
_GOOD = 5e-4  # of a step: what the preconditioned one leaves, at best
_SAFETY = 3.0  # times what it left of the last one
_SEEN = 1e-8  # of the best-seen source's weight: a source with less is outside the beam


@dataclass(frozen=True)
class Solution:
    """Flux densities [Jy] at the design's `unit_hz`; (source,) unless said otherwise.

    Sources without weight in the data (outside the beam) have NaN. Errors are those of the weights
    times `noise`, and so know nothing of what the model lacks.
    """

    flux_jy: Array
    covariance_jy2: Array  # (source, source), zero for what was fixed
    part_flux_jy: Array  # (part, source), also at unit_hz; NaN in parts without data
    part_error_jy: Array  # (part, source)
    part_hz: Array  # (part,) middle of each
    chi2: float  # sum of W |V - A f|^2
    count: int  # unflagged visibilities, each of two numbers
    noise: float  # what 1/sqrt(W) is to be multiplied by for chi2 to be its expectation
    iterations: int  # passes over the data beyond the first
    last_step: float  # largest that is left in the whole band, in units of its error
    shrinking: float  # what an iteration leaves of a step

    @property
    def error_jy(self) -> Array:
        """Standard errors."""
        return np.sqrt(np.diagonal(self.covariance_jy2))


def fit(
    design: Design,
    blocks: Blocks,
    *,
    parts: int = 1,
    start: Array | None = None,
    fixed: NDArray[np.bool_] | None = None,
    tolerance: float = 0.01,
    shrinking: float | None = None,
    left_over: Arrays | None = None,
) -> Solution:
    """Fit the sources of `design` to `blocks`, in the whole band and in `parts` of it.

    `start` (source,) [Jy] saves passes where it is near; without, some of the channels are fitted
    first. So does `shrinking`, that of a solution for nearly the same sources and weights. What
    the data are without a model that is within an error of the solution is written to
    `left_over`. Raises
    :class:`DataQualityError` when nothing is unflagged, no source is in the beam, or two sources
    are in one place.
    """
    n, n_chan = design.n_sources, design.axes.freq_hz.size
    some = thinned(blocks, n_chan) if start is None else None
    if some is not None:
        rough = fit(of_channels(design, some[0]), some[1], fixed=fixed, tolerance=ROUGH)
        start, shrinking = rough.flux_jy, rough.shrinking
    part = parts_of(n_chan, min(parts, n_chan))
    matrix = normal(design, blocks, part, _stride(design))
    fixed = np.zeros(n, bool) if fixed is None else fixed
    free = _seen(matrix) & ~fixed
    matrix = matrix[:, free][:, :, free]
    begin = np.zeros(n) if start is None else np.nan_to_num(np.asarray(start, float))
    passes = _Passes(design, blocks, part, free)
    whole = _Whole(passes, begin, matrix, tolerance, shrinking, left_over)
    used = np.flatnonzero(whole.first.count > 0)
    each = whole.descent
    if part.any():
        each = _Descent(matrix[used], _OF_PARTS * tolerance, together=False)
        rest = whole.descent.left[used]
        each.run(passes.product_of(used), rest, whole.noise, whole.descent.known)

    outside = ~free & ~fixed
    flux = np.where(outside, np.nan, whole.begin)
    flux[free] += whole.descent.x[0]
    covariance = np.zeros((n, n))
    covariance[outside, outside] = np.nan
    covariance[np.ix_(free, free)] = whole.noise**2 * whole.descent.inverse(0)
    n_parts = matrix.shape[0]
    part_flux, part_error = np.tile(flux, (n_parts, 1)), np.zeros((n_parts, n))
    part_flux[whole.first.count == 0] = np.nan
    part_error[:, outside], part_error[whole.first.count == 0] = np.nan, np.nan
    if part.any():
        part_flux[np.ix_(used, free)] += each.x
    part_error[np.ix_(used, free)] = whole.noise * each.error
    return Solution(
        flux_jy=flux,
        covariance_jy2=covariance,
        part_flux_jy=part_flux,
        part_error_jy=part_error,
        part_hz=np.array([design.axes.freq_hz[part == k].mean() for k in range(n_parts)]),
        chi2=whole.chi2,
        count=int(whole.first.count.sum()),
        noise=whole.noise,
        iterations=whole.descent.turns + (each.turns if part.any() else 0),
        last_step=whole.descent.last,
        shrinking=max(whole.descent.shrinking, each.shrinking),
    )


@dataclass(frozen=True)
class _Passes:
    """Passes over the data with the sources that are free."""

    design: Design
    blocks: Blocks
    part: NDArray[np.int64]
    free: NDArray[np.bool_]

    def data(self, flux: Array, left_over: Arrays | None) -> Sums:
        """Projection of what the model of `flux` (source,) leaves."""
        known = np.tile(flux, (self.part.max() + 1, 1)) if flux.any() else None
        return sweep(self.design, self.blocks, self.part, known, left_over=left_over)

    def take_out(self, step: Array, left_over: Arrays) -> None:
        """Subtract the model of `step` (free source,)."""
        flux = np.zeros(self.free.size)
        flux[self.free] = step
        take_out(self.design, flux, left_over)

    def product_of(self, used: NDArray[np.int64]) -> Callable[[Array], Array]:
        """A^H W A of parts `used`, each (part, source), or one for all, to (part, source)."""

        def product(step: Array) -> Array:
            flux = np.zeros((self.part.max() + 1, self.free.size))
            flux[np.ix_(used, self.free)] = step
            result = sweep(self.design, self.blocks, self.part, flux, with_data=False).gradient
            return result[np.ix_(used, self.free)]

        return product


class _Whole:
    """The solution for the whole band: `begin` (source,) plus that of `descent`.

    `first` are the sums at `begin`, `noise` and `chi2` those at the solution.
    """

    def __init__(
        self,
        passes: _Passes,
        begin: Array,
        matrix: Array,
        tolerance: float,
        shrinking: float | None,
        left_over: Arrays | None,
    ) -> None:
        free = passes.free
        self.begin, self.descent = begin.copy(), _Descent(matrix, tolerance, together=True)
        far = self._first(passes, left_over)
        stale = left_over is not None and far > _STALE
        known = shrinking is not None and far * _SAFETY * shrinking < tolerance
        if stale and not known:
            self.begin[free] += self.step[0]
            last, far = far, self._first(passes, left_over)
            shrinking = far / last
        left = self.first.gradient[:, free]
        every = passes.product_of(np.arange(matrix.shape[0]))
        self.descent.run(every, left, self.noise, shrinking)
        gain = (self.descent.x * (left + self.descent.left).sum(axis=0)).sum()
        self.chi2 = float(self.first.chi2.sum() - gain)
        self.noise = float(np.sqrt(max(self.chi2, 0) / self._freedom()))
        if left_over is not None and stale and known:  # half of what another pass would cost
            passes.take_out(self.descent.x[0], left_over)

    def _first(self, passes: _Passes, left_over: Arrays | None) -> float:
        """The sums at `begin` and the first step from there; its size in errors.

        Errors are those of the weights, which may be in any unit, times the noise.
        """
        self.first = passes.data(self.begin, left_over)
        left = self.first.gradient[:, passes.free]
        self.step = self.descent.precondition(left)
        rest = self.first.chi2.sum() - (self.step * left.sum(axis=0)).sum()
        self.noise = float(np.sqrt(max(rest, 0) / self._freedom())) or 1.0
        return float(np.abs(self.step / (self.noise * self.descent.error)).max(initial=0))

    def _freedom(self) -> int:
        return max(2 * int(self.first.count.sum()) - self.descent.x.size, 1)


def thinned(blocks: Blocks, n_chan: int) -> tuple[NDArray[np.int64], Arrays] | None:
    """One in eight of the channels that have data, and their data; None where these are few."""
    seen = np.zeros(n_chan, bool)
    for block in blocks:
        seen |= (block.weight > 0).any(axis=0)
    chosen = np.flatnonzero(seen)[_COARSE // 2 :: _COARSE]
    if chosen.size < _FEWEST:
        return None
    some = [Block(block.data[:, chosen], block.weight[:, chosen]) for block in blocks]
    return chosen, Arrays(np.stack([b.data for b in some]), np.stack([b.weight for b in some]))


def residuals(design: Design, blocks: Blocks, flux_jy: Array) -> Iterator[Block]:
    """The blocks with the model of `flux_jy` (source,) [Jy] and the design's offset taken out.

    Sources of NaN are left in.
    """
    model = model_of(design, np.nan_to_num(flux_jy))
    for block, there in zip(blocks, model, strict=True):
        yield Block(block.data - there, block.weight)


def _stride(design: Design) -> int:
    """Channels from one to the next of those that the matrix is made of."""
    times, n, channels = design.amplitude.shape
    cost = 4.0 * n**2 * design.n_antennas * times * channels
    return int(np.clip(np.ceil(cost / _BUDGET), 1, max(channels // 8, 1)))


def _seen(matrix: Array) -> NDArray[np.bool_]:
    """Which sources the data say anything about; raise where there is none."""
    power = np.diagonal(matrix.sum(axis=0))
    if not power.max(initial=0) > 0:
        raise DataQualityError("no unflagged visibilities with weight in which a source is seen")
    return power > _SEEN * power.max()


class _Descent:
    """Preconditioned conjugate gradients for one or several independent systems at once.

    Matrices (part, source, source), right sides and products come by parts of the band: each is a
    system of its own, or all `together` are the only one. After :meth:`run`, `x` (system, source)
    is the solution, `left` (part, source) what of the right side it leaves, `turns` the products
    made, `last` the step left over and `shrinking` the most that one of them left of a step.
    """

    def __init__(self, matrix: Array, tolerance: float, *, together: bool) -> None:
        self.matrix, self.tolerance, self.together = matrix, tolerance, together
        self.factors = [_factor(one) for one in self._fold(matrix)]
        inverses = [self.inverse(number) for number in range(len(self.factors))]
        self.error = np.sqrt(np.diagonal(np.stack(inverses), axis1=1, axis2=2))
        self.x = np.zeros_like(self.error)
        self.left, self.turns, self.last = np.zeros((0, 0)), 0, np.inf
        self.shrinking = _GOOD
        self.known: float | None = None  # it, if any was seen

    def inverse(self, number: int) -> Array:
        """Of the matrix of one system."""
        return cho_solve(self.factors[number], np.eye(self.factors[number][0].shape[0]))

    def _fold(self, by_part: Array) -> Array:
        return by_part.sum(axis=0, keepdims=True) if self.together else by_part

    def _spread(self, each: Array) -> Array:
        return np.broadcast_to(each, (self.matrix.shape[0], each.shape[1]))

    def precondition(self, by_part: Array) -> Array:
        """The step (system, source) that the matrix alone would take."""
        right = self._fold(by_part)
        return np.stack([cho_solve(f, r) for f, r in zip(self.factors, right, strict=True)])

    def run(
        self,
        product: Callable[[Array], Array],
        right: Array,
        noise: float,
        shrinking: float | None = None,
    ) -> None:
        """Solve; `product` gives the exact matrix times x, by parts.

        Errors are those of the matrix times `noise`. The step at hand is taken to leave
        `_SAFETY` times what the last one left of itself, `shrinking`: all, if none is known.
        """
        error = self.error * (noise or 1.0)
        self.left = right.copy()
        step = direction = self.precondition(self.left)
        slope = (self._fold(self.left) * step).sum(axis=1, keepdims=True)
        size = np.abs(step / error).max(initial=0)
        self.known = shrinking
        self.shrinking = _GOOD if shrinking is None else float(np.clip(shrinking, _GOOD, 1.0))
        expected = 1.0 if shrinking is None else _SAFETY * self.shrinking
        while size * expected > self.tolerance and self.turns < _MOST_ITERATIONS:
            by_part = product(direction)
            along = (direction * self._fold(by_part)).sum(axis=1, keepdims=True)
            length = slope / np.where(along > 0, along, np.inf)
            self.x = self.x + length * direction
            self.left = self.left - length * by_part
            step = self.precondition(self.left)
            before, slope = slope, (self._fold(self.left) * step).sum(axis=1, keepdims=True)
            direction = step + slope / np.where(before > 0, before, np.inf) * direction
            last, size = size, np.abs(step / error).max(initial=0)
            left = float(np.clip(size / last, _GOOD, 1.0))
            self.shrinking, expected = max(self.shrinking, left), min(_SAFETY * left, 1.0)
            self.known = self.shrinking
            self.turns += 1
        self.x = self.x + step
        self.left = self.left - np.einsum("kij,kj->ki", self.matrix, self._spread(step))
        self.last = size * expected
        if self.last > self.tolerance:
            raise DataQualityError(
                f"the fit does not converge: {self.last:.2g} of an error is left after"
                f" {self.turns} iterations"
            )


def _factor(matrix: Array) -> tuple[Array, bool]:
    """Cholesky factor; raise for sources that cannot be told apart."""
    power = np.sqrt(np.diagonal(matrix))
    alike = np.triu(np.abs(matrix) / np.outer(power, power), 1)
    if (alike > _ALIKE).any():
        first, second = np.unravel_index(np.argmax(alike), alike.shape)
        raise DataQualityError(
            f"the sources number {first} and {second} of the fit cannot be told apart: "
            "are they in one place?"
        )
    try:
        return cho_factor(matrix + np.diag(1e-6 * power**2))
    except LinAlgError:
        raise DataQualityError(
            "singular normal matrix: fewer visibilities than sources, or blends of many"
        ) from None
