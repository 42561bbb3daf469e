"""One pass over the visibilities: the model of given flux densities, and the projection on sources.

For each time and channel the columns of :mod:`contimg.core.fluxfit.design` are made once; the
model is one product of them, and the projection A^H W (V - A f) of what is left another. Products
are in single precision, sums over times and channels in double.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.fluxfit.design import Design, columns, decay
from contimg.core.fluxfit.kernels import add_extended, project_extended


class Block(NamedTuple):
    """The data of one time: Stokes I [Jy] and its weight 1/sigma^2 (0 where flagged).

    Both (baseline, channel); sigma that of the real or the imaginary part, up to a common factor.
    """

    data: NDArray[np.complex64]
    weight: NDArray[np.float32]


class Blocks(Protocol):
    """Times in order; may be gone through many times."""

    def __iter__(self) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Arrays:
    """Blocks of data in memory, or mapped from a file: both (time, baseline, channel)."""

    data: NDArray[np.complexfloating]
    weight: NDArray[np.floating]

    def __iter__(self) -> Iterator[Block]:
        return (Block(*both) for both in zip(self.data, self.weight, strict=True))


@dataclass
class Sums:
    """What one pass gives, by part of the band."""

    gradient: NDArray[np.float64]  # (part, source): A^H W (data - A f)
    chi2: NDArray[np.float64]  # (part,): sum of W |data - A f|^2
    count: NDArray[np.int64]  # (part,): unflagged visibilities


def parts_of(n_channels: int, parts: int) -> NDArray[np.int64]:
    """(channel,): the number of the part of the band that each channel belongs to."""
    number = np.empty(n_channels, np.int64)
    for part, channels in enumerate(np.array_split(np.arange(n_channels), parts)):
        number[channels] = part
    return number


def sweep(
    design: Design,
    blocks: Iterable[Block],
    part: NDArray[np.int64],
    flux: NDArray[np.float64] | None,
    *,
    with_data: bool = True,
    left_over: Arrays | None = None,
) -> Sums:
    """Project data minus model on the sources; without data, the model alone: A^H W A f.

    `part` (channel,) of :func:`parts_of`, `flux` (part, source) [Jy] or None for no model. Data
    minus model are written to `left_over`, if given.
    """
    n_parts = int(part.max()) + 1
    sums = Sums(np.zeros((n_parts, design.n_sources)), np.zeros(n_parts), np.zeros(n_parts, int))
    owner, sign = design.owner, -1 if with_data else 1
    for time, block in enumerate(blocks):
        weight = np.where(design.axes.ant1 != design.axes.ant2, block.weight.T, 0)
        data = np.array(block.data.T, np.complex64, order="C") if with_data else None
        sums.count += _by_part(weight > 0, part, n_parts)
        work = _Time(design, time)
        for channel, column, phasor in columns(design, time):
            w = weight[channel]
            if not w.any():
                continue
            left = np.zeros(w.size, np.complex64) if data is None else data[channel]
            amplitude = design.amplitude[time, :, channel]
            strength = _strength(design, time, channel, flux, part, with_data)
            if strength is not None:
                left = left + sign * work.model(column, phasor, strength[owner], strength, channel)
            weighted = np.where(w > 0, w * left, 0)  # what is flagged may be NaN
            k = part[channel]
            sums.gradient[k] += amplitude * work.project(column, phasor, weighted, channel, owner)
            sums.chi2[k] += float(np.vdot(np.where(w > 0, left, 0), weighted).real)
            if data is not None:
                data[channel] = left
        if left_over is not None and data is not None:
            left_over.data[time], left_over.weight[time] = data.T, block.weight
    return sums


def take_out(design: Design, flux_jy: NDArray[np.float64], blocks: Arrays) -> None:
    """Subtract the model of `flux_jy` (source,) [Jy], without the design's offset, in place."""
    model = model_of(replace(design, offset=None), flux_jy)
    for data, there in zip(blocks.data, model, strict=True):
        data -= there


def model_of(design: Design, flux: NDArray[np.float64]) -> Iterator[NDArray[np.complex64]]:
    """Yield the model of each time, (baseline, channel) [Jy], the design's offset included.

    `flux` (source,) [Jy] at `unit_hz`.
    """
    owner = design.owner
    part = np.zeros(design.axes.freq_hz.size, np.int64)
    for time in range(design.axes.mjd.size):
        model = np.empty((design.axes.freq_hz.size, design.pair[0].size), np.complex64)
        work = _Time(design, time)
        for channel, column, phasor in columns(design, time):
            strength = _strength(design, time, channel, flux[None], part, True)
            assert strength is not None
            model[channel] = work.model(column, phasor, strength[owner], strength, channel)
        yield model.T


def _by_part(good: NDArray[np.bool_], part: NDArray, n_parts: int) -> NDArray[np.int64]:
    return np.bincount(part, good.sum(axis=1), n_parts).astype(np.int64)


def _strength(
    design: Design,
    time: int,
    channel: int,
    flux: NDArray | None,
    part: NDArray,
    with_data: bool,
) -> NDArray[np.float32] | None:
    """Apparent flux density (source,) [Jy]; of the data it includes the design's offset."""
    total = None
    if flux is not None:
        total = flux[part[channel]] * design.amplitude[time, :, channel]
    if with_data and design.offset is not None:
        total = design.offset[time, :, channel] + (0 if total is None else total)
    return None if total is None else total.astype(np.float32)


class _Time:
    """Products of one time.

    Baselines p < q are one triangle of the matrix over antennas, so that the triangular products
    of BLAS do, with half the operations; a baseline that is stored as (q, p) is its conjugate.
    """

    def __init__(self, design: Design, time: int) -> None:
        n = design.n_antennas
        self.pair, first, second = design.pair, *np.sort(design.pair, axis=0)
        self.cell = second * n + first  # column-major
        self.turned = np.flatnonzero(design.pair[0] > design.pair[1])
        self.right = np.zeros((n, n), np.complex64, order="F")
        self.extended = design.extended
        self.points = design.owner.size
        self.n_sources = design.n_sources
        self.square = (design.axes.freq_hz / C_M_S) ** 2
        self.decay = decay(design, time) if design.extended.size else None

    def model(
        self,
        column: NDArray[np.complex64],
        phasor: NDArray[np.complex64],
        strength: NDArray[np.float32],
        apparent: NDArray[np.float32],
        channel: int,
    ) -> NDArray[np.complex64]:
        """(baseline,) [Jy] of columns of `strength` and sources of `apparent` flux density."""
        from scipy.linalg.blas import cherk

        # (antenna, antenna), column-major: [p, q] = sum of strength column_p conj(column_q)
        product = np.zeros_like(self.right)
        size = np.sqrt(np.abs(strength))
        for sign, chosen in ((1.0, strength > 0), (-1.0, strength < 0)):
            rows = np.flatnonzero(chosen)
            if rows.size:
                scaled = column[rows] * size[rows, None]
                product = cherk(sign, scaled.T, beta=1.0, c=product, overwrite_c=True)
        left = product.T.ravel().take(self.cell)
        left[self.turned] = left[self.turned].conj()
        if self.decay is not None:
            envelope = np.float32(self.square[channel])
            add_extended(left, phasor, apparent[self.extended], *self.decay, envelope, *self.pair)
        return left

    def project(
        self,
        column: NDArray[np.complex64],
        phasor: NDArray[np.complex64],
        weighted: NDArray[np.complex64],
        channel: int,
        owner: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """(source,): the real part of sum over baselines of conj(unit model) `weighted`."""
        from scipy.linalg.blas import ctrmm

        result = np.zeros(self.n_sources)
        if self.points:
            held = self.right.T.ravel()
            held[self.cell] = weighted
            held[self.cell[self.turned]] = weighted[self.turned].conj()
            turned = ctrmm(1.0, self.right, column.T).T
            each = np.einsum("ij,ij->i", column.view(np.float32), turned.view(np.float32))
            result += np.bincount(owner, each, self.n_sources)
        if self.decay is not None:
            envelope = np.float32(self.square[channel])
            result[self.extended] = project_extended(
                weighted, phasor, *self.decay, envelope, *self.pair
            )
        return result
