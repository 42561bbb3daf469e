"""The elliptical Gaussian that a source's visibilities show: flux density, place and size together.

What a fit leaves, and the source's own model put back, is turned to the source and divided by its
beam and spectrum; a point would give its flux density on every baseline, a Gaussian of covariance C
on the sky gives S exp(-2 pi^2 u.C u) (the transform of a Gaussian; the same is fitted by Difmap's
modelfit and UVMultiFit). Other sources only enter through what the model of them leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.beam import C_M_S
from contimg.core.fluxfit.design import Design, half_turns
from contimg.core.fluxfit.sweep import Block
from contimg.core.predict import turn

Array = NDArray[np.float64]
FWHM = np.sqrt(8 * np.log(2))  # over sigma
_GROUPS = 8  # parts of the band, in each of which a baseline is one point
_START = 0.4  # of the resolution: size with which the fit begins


@dataclass(frozen=True)
class Turned:
    """What a source's place alone gives on each baseline and part of the band."""

    uv: Array  # (n, 2), wavelengths, towards east and north
    value: NDArray[np.complex128]  # (n,), Jy
    weight: Array  # (n,), 1 / (noise^2 of the real part)


@dataclass(frozen=True)
class Gaussian:
    """A fitted Gaussian, and what it is better than a point by."""

    flux_jy: float
    step: Array  # (2,) of (l, m) [rad]
    major_arcsec: float  # FWHM
    minor_arcsec: float
    pa_deg: float  # from the axis of m through that of l
    size_error_arcsec: float  # of the major axis
    chi2: float  # by which that of the best point is larger
    inflation: float  # error of the flux density, over that where place and size are known


def turned(
    design: Design, residuals: Iterable[Block], flux_jy: Array, number: int, noise: float
) -> Turned:
    """Sums over times and channels of what is left, turned to source `number`, and its own model.

    `residuals` are of a fit that gave `flux_jy`, and `noise` its factor (1/sqrt(weight) is times
    it the noise). The loss by averaging is divided out; the rotation of a baseline in the time of
    a tile is not followed within a part.
    """
    freq, lmn = design.axes.freq_hz, design.lmn[:, [number]]
    group = np.minimum(np.arange(freq.size) * _GROUPS // freq.size, _GROUPS - 1)
    first = np.searchsorted(group, np.unique(group))
    shape = (design.pair[0].size, first.size)
    total, weights = np.zeros(shape, complex), np.zeros(shape)
    uv = np.zeros((*shape, 2))
    for time, block in enumerate(residuals):
        model, amplitude = _alone(design, time, number, lmn)
        own = flux_jy[number] * amplitude * model.real_part
        weight = block.weight * amplitude**2
        seen = np.where(weight > 0, block.data * model.phase.conj() + own, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(weight > 0, weight * seen / amplitude, 0)
        along = weight * (freq / C_M_S)
        total += np.add.reduceat(value, first, axis=1)
        weights += np.add.reduceat(weight, first, axis=1)
        uv += (
            np.add.reduceat(along, first, axis=1)[..., None]
            * _seen_from(design.axes.uvw_m[time], lmn[:, 0])[:, None]
        )
    used = weights > 0
    return Turned(
        uv[used] / weights[used][:, None], total[used] / weights[used], weights[used] / noise**2
    )


@dataclass(frozen=True)
class _Own:
    """Of one time: phase of a source (baseline, channel), and its envelope."""

    phase: NDArray[np.complex64]
    real_part: NDArray[np.float64]


def _alone(design: Design, time: int, number: int, lmn: Array) -> tuple[_Own, Array]:
    """Model of one source, and its amplitude with the loss by averaging (baseline, channel)."""
    position, wavenumber = design.position_m[time], design.axes.freq_hz / C_M_S
    ant1, ant2 = design.pair
    path = (position @ lmn)[:, 0]
    turns = half_turns(position, lmn, design.drift[time][:, [number]], design.axes)
    loss = sum((x[ant1, 0] - x[ant2, 0]) ** 2 for x in turns) / 6
    amplitude = design.amplitude[time, number].astype(float) * np.exp(-loss)[:, None]
    envelope = np.ones(amplitude.shape)
    if number in design.extended:
        shape = design.shape[np.searchsorted(design.extended, number)]
        size = ((design.axes.uvw_m[time] @ shape) ** 2).sum(axis=-1)
        envelope = np.exp(-size[:, None] * wavenumber**2)
    return _Own(turn((path[ant1] - path[ant2])[:, None] * wavenumber), envelope), amplitude


def _seen_from(uvw: Array, lmn: Array) -> Array:
    """(baseline, 2): derivatives of the path [m] along l and m."""
    l_cos, m_cos, n_less_1 = lmn
    slope = np.array([-l_cos, -m_cos]) / (1 + n_less_1)
    return uvw[:, :2] + uvw[:, 2:] * slope


def fit_gaussian(data: Turned) -> Gaussian:
    """The elliptical Gaussian of least squares, begun at the best point."""
    from scipy.optimize import least_squares

    root, reach = (
        np.sqrt(data.weight),
        np.sqrt(np.average((data.uv**2).sum(axis=1), weights=data.weight)),
    )
    width = 1 / (2 * np.pi * reach)  # sigma of a source that is resolved by half
    uv = data.uv * width
    flux = float(np.average(data.value.real, weights=data.weight))

    def left(parameters: Array) -> Array:
        scale, east, north, a, b, c = parameters
        square = (a * uv[:, 0] + b * uv[:, 1]) ** 2 + (c * uv[:, 1]) ** 2
        phase = 2 * np.pi * (east * uv[:, 0] + north * uv[:, 1])
        model = scale * flux * np.exp(-2 * np.pi**2 * square + 1j * phase)
        rest = root * (data.value - model)
        return np.concatenate([rest.real, rest.imag])

    point = least_squares(lambda p: left(np.append(p, (0.0, 0.0, 0.0))), (1.0, 0.0, 0.0))
    found = least_squares(left, (*point.x, _START, 0.0, _START))
    scale, east, north, a, b, c = found.x
    # the exponent is |L^T u|^2 with C = L L^T
    covariance = width**2 * np.array([[a * a, a * b], [a * b, b * b + c * c]])
    size, axes = np.linalg.eigh(covariance)
    sigma = np.sqrt(np.maximum(size[::-1], 0))
    inverse = np.linalg.pinv(found.jac.T @ found.jac)
    slope = (found.jac[:, 0] ** 2).sum()
    return Gaussian(
        flux_jy=flux * scale,
        step=np.array([east, north]) * width,
        major_arcsec=float(np.degrees(sigma[0]) * 3600 * FWHM),
        minor_arcsec=float(np.degrees(sigma[1]) * 3600 * FWHM),
        pa_deg=float(np.degrees(np.arctan2(axes[0, 1], axes[1, 1])) % 180),
        size_error_arcsec=float(
            np.degrees(width * np.sqrt(inverse[[3, 5], [3, 5]].max())) * 3600 * FWHM
        ),
        chi2=float(2 * (point.cost - found.cost)),
        inflation=float(np.sqrt(inverse[0, 0] * slope)),
    )
