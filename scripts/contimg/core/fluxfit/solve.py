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
from contimg.core.fluxfit.design import Design
from contimg.core.fluxfit.normal import normal
from contimg.core.fluxfit.sweep import Block, Blocks, model_of, parts_of, sweep

Array = NDArray[np.float64]
_MOST_ITERATIONS = 40
_ALIKE = 0.9999  # two sources whose correlation is above this cannot be told apart
_BUDGET = 4e11  # operations that the matrix may cost before channels are left out
_GOOD = 0.03  # of a step: what the preconditioned one leaves, at best
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
    last_step: float  # largest that is left, in units of its error

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
) -> Solution:
    """Fit the sources of `design` to `blocks`, in the whole band and in `parts` of it.

    `start` (source,) [Jy] saves passes where it is near. Raises :class:`DataQualityError` when
    nothing is unflagged, no source is in the beam, or two sources are in one place.
    """
    n, n_chan = design.n_sources, design.axes.freq_hz.size
    part = parts_of(n_chan, min(parts, n_chan))
    n_parts = int(part.max()) + 1
    matrix = normal(design, blocks, part, _stride(design))
    fixed = np.zeros(n, bool) if fixed is None else fixed
    free = _seen(matrix) & ~fixed
    begin = np.zeros(n) if start is None else np.nan_to_num(np.asarray(start, float))
    known = np.tile(begin, (n_parts, 1)) if begin.any() else None
    first = sweep(design, blocks, part, known)

    def product(step: Array) -> Array:
        """A^H W A of the free sources, (part, source) to (part, source)."""
        flux = np.zeros((n_parts, n))
        flux[:, free] = step
        return sweep(design, blocks, part, flux, with_data=False).gradient[:, free]

    matrix, left = matrix[:, free][:, :, free], first.gradient[:, free]
    whole = _Descent(matrix, tolerance, together=True)
    whole.run(lambda x: product(np.tile(x, (n_parts, 1))), left)
    chi2 = first.chi2.sum() - (whole.x * (left + whole.left).sum(axis=0)).sum()
    count = int(first.count.sum())
    noise = float(np.sqrt(max(chi2, 0) / max(2 * count - free.sum(), 1)))
    outside = ~free & ~fixed
    flux = np.where(outside, np.nan, begin)
    flux[free] += whole.x[0]
    covariance = np.zeros((n, n))
    covariance[outside, outside] = np.nan
    covariance[np.ix_(free, free)] = noise**2 * whole.inverse(0)

    part_flux, part_error = np.tile(flux, (n_parts, 1)), np.zeros((n_parts, n))
    used = np.flatnonzero(first.count > 0)
    part_flux[first.count == 0] = np.nan
    part_error[:, outside], part_error[first.count == 0] = np.nan, np.nan
    each = whole
    if n_parts > 1:

        def separate(x: Array) -> Array:
            padded = np.zeros((n_parts, x.shape[1]))
            padded[used] = x
            return product(padded)[used]

        each = _Descent(matrix[used], tolerance, together=False)
        each.run(separate, whole.left[used])
        part_flux[np.ix_(used, free)] += each.x
    part_error[np.ix_(used, free)] = noise * each.error
    return Solution(
        flux_jy=flux,
        covariance_jy2=covariance,
        part_flux_jy=part_flux,
        part_error_jy=part_error,
        part_hz=np.array([design.axes.freq_hz[part == k].mean() for k in range(n_parts)]),
        chi2=float(chi2),
        count=count,
        noise=noise,
        iterations=whole.turns + (each.turns if n_parts > 1 else 0),
        last_step=max(whole.last, each.last),
    )


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
    made and `last` the step left over.
    """

    def __init__(self, matrix: Array, tolerance: float, *, together: bool) -> None:
        self.matrix, self.tolerance, self.together = matrix, tolerance, together
        self.factors = [_factor(one) for one in self._fold(matrix)]
        inverses = [self.inverse(number) for number in range(len(self.factors))]
        self.error = np.sqrt(np.diagonal(np.stack(inverses), axis1=1, axis2=2))
        self.x = np.zeros_like(self.error)
        self.left, self.turns, self.last = np.zeros((0, 0)), 0, np.inf

    def inverse(self, number: int) -> Array:
        """Of the matrix of one system."""
        return cho_solve(self.factors[number], np.eye(self.factors[number][0].shape[0]))

    def _fold(self, by_part: Array) -> Array:
        return by_part.sum(axis=0, keepdims=True) if self.together else by_part

    def _spread(self, each: Array) -> Array:
        return np.broadcast_to(each, (self.matrix.shape[0], each.shape[1]))

    def _precondition(self, right: Array) -> Array:
        return np.stack([cho_solve(f, r) for f, r in zip(self.factors, right, strict=True)])

    def run(self, product: Callable[[Array], Array], right: Array) -> None:
        """Solve; `product` gives the exact matrix times x, by parts."""
        self.left = right.copy()
        step = direction = self._precondition(self._fold(self.left))
        slope = (self._fold(self.left) * step).sum(axis=1, keepdims=True)
        size = np.abs(step / self.error).max(initial=0)
        # the step at hand is taken to be good to `shrinking` of itself, `_GOOD` at best
        shrinking = 1.0
        while size * shrinking > self.tolerance and self.turns < _MOST_ITERATIONS:
            by_part = product(direction)
            along = (direction * self._fold(by_part)).sum(axis=1, keepdims=True)
            length = slope / np.where(along > 0, along, np.inf)
            self.x = self.x + length * direction
            self.left = self.left - length * by_part
            step = self._precondition(self._fold(self.left))
            before, slope = slope, (self._fold(self.left) * step).sum(axis=1, keepdims=True)
            direction = step + slope / np.where(before > 0, before, np.inf) * direction
            last, size = size, np.abs(step / self.error).max(initial=0)
            shrinking = float(np.clip(size / last, _GOOD, 1.0))
            self.turns += 1
        self.x = self.x + step
        self.left = self.left - np.einsum("kij,kj->ki", self.matrix, self._spread(step))
        self.last = size * shrinking
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
