"""Restoring beams: the smallest one that all tiles can be brought to, and bringing them there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg.core.fits import FWHM_TO_SIGMA, Beam

Matrix = NDArray[np.float64]
_OUTLINE = 180  # points on half of each ellipse; the other half follows by symmetry


def beam_of(cov: Matrix) -> Beam:
    """The beam with covariance `cov` in (east, north) [deg^2]; position angle in (-90, 90]."""
    values, vectors = np.linalg.eigh(cov)
    minor, major = np.sqrt(values) / FWHM_TO_SIGMA
    east, north = vectors[:, 1]
    pa = np.degrees(np.arctan2(east, north))
    return Beam(float(major), float(minor), float(90.0 - (90.0 - pa) % 180.0))


def largest_axis_ratio(cov: Matrix, reference: Matrix) -> float:
    """Largest width of beam `cov` over that of `reference`, over all directions."""
    return float(np.sqrt(np.linalg.eigvals(np.linalg.solve(reference, cov)).real.max()))


def spread(covs: Sequence[Matrix]) -> float:
    """Largest relative difference in width, over all directions and pairs of beams."""
    return max(largest_axis_ratio(a, b) for a in covs for b in covs) - 1.0


def common_beam(beams: Sequence[Beam], tolerance: float) -> tuple[Beam, bool]:
    """Common beam of `beams`, and whether the images must be convolved to it.

    Position angles count from the north at each tile's centre, not from the columns of the
    mosaic: tiles along a parallel then have one beam, and none is widened for the turning north.
    Beams alike within `tolerance` (relative) are replaced by their mean without convolution.
    Otherwise the result is the ellipse of least area that encloses all of theirs, found for
    points on the outlines and then scaled so that it encloses the ellipses themselves.
    """
    if all(beam == beams[0] for beam in beams):
        return beams[0], False
    covs = [beam.covariance for beam in beams]
    if spread(covs) <= tolerance:
        return beam_of(np.mean(covs, axis=0)), False
    scale = float(np.mean([np.trace(c) for c in covs]))
    angle = np.arange(_OUTLINE) * np.pi / _OUTLINE
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([circle @ np.linalg.cholesky(c / scale).T for c in covs])
    enclosing = _enclosing_ellipse(points) * scale
    factor = max(largest_axis_ratio(c, enclosing) for c in covs) ** 2
    return beam_of(enclosing * factor), True


def _enclosing_ellipse(points: Matrix) -> Matrix:
    """Shape C of least determinant with p^T C^-1 p <= 1 for all `points` [n, 2] (centre 0).

    In Q = C^-1 = [[a, b], [b, c]] this is convex: maximise log det Q under linear constraints.
    Newton steps on the logarithmic barrier; n / t bounds the error of log det (Boyd &
    Vandenberghe 2004, chapter 11).
    """
    rows = np.stack([points[:, 0] ** 2, 2 * points[:, 0] * points[:, 1], points[:, 1] ** 2], 1)
    size = 0.5 / np.sum(points**2, axis=1).max()
    q = np.array([size, 0.0, size])
    bend = np.array([[0.0, 0.0, 1.0], [0.0, -2.0, 0.0], [1.0, 0.0, 0.0]])  # of a c - b^2

    def cost(at: Matrix, t: float) -> float:
        det, slack = at[0] * at[2] - at[1] ** 2, 1 - rows @ at
        if det <= 0 or at[0] <= 0 or slack.min() <= 0:
            return float("inf")
        return float(-t * np.log(det) - np.log(slack).sum())

    t = 1.0
    while len(points) / t > 1e-7:
        t *= 10.0
        for _ in range(50):
            det, slack = q[0] * q[2] - q[1] ** 2, 1 - rows @ q
            slope = -np.array([q[2], -2 * q[1], q[0]]) / det
            weighted = rows / slack[:, None]
            gradient = t * slope + weighted.sum(axis=0)
            hessian = t * (np.outer(slope, slope) - bend / det) + weighted.T @ weighted
            step = -np.linalg.solve(hessian, gradient)
            decrement, length, now = -float(gradient @ step), 1.0, cost(q, t)
            if decrement < 1e-9:
                break
            while cost(q + length * step, t) > now - 0.1 * length * decrement and length > 1e-12:
                length /= 2
            q = q + length * step
    return np.linalg.inv(np.array([[q[0], q[1]], [q[1], q[2]]]))


def transfer(kernel: Matrix, gain: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Fourier transform of a Gaussian of unit integral times `gain`, for ``rfft2`` of `shape`.

    `kernel` is the covariance in (x, y) [pixel^2]; it may be degenerate (no width along one
    axis) or far narrower than a pixel, which is why the analytic transform is used.
    """
    u = fft.rfftfreq(shape[1])[None, :]
    v = fft.fftfreq(shape[0])[:, None]
    quadratic = kernel[0, 0] * u**2 + 2 * kernel[0, 1] * u * v + kernel[1, 1] * v**2
    return (gain * np.exp(-2 * np.pi**2 * quadratic)).astype(np.float32)


def reach(kernel: Matrix) -> int:
    """Pixels beyond which a Gaussian kernel has no effect: four of its greatest widths."""
    return int(np.ceil(4 * np.sqrt(max(float(np.linalg.eigvalsh(kernel).max()), 0.0))))


def kernel_between(beam: Beam, target: Beam, to_pixel: Matrix) -> tuple[Matrix, float]:
    """Kernel in (x, y) [pixel^2] that turns `beam` into `target`, and the gain for Jy/beam.

    `to_pixel` maps (east, north) [deg] to (x, y) [pixel]. The gain is the ratio of beam areas:
    a point source keeps its value in Jy per (its own) beam.
    """
    difference = target.covariance - beam.covariance
    values, vectors = np.linalg.eigh(difference)
    difference = vectors @ np.diag(np.maximum(values, 0.0)) @ vectors.T  # rounding only
    return to_pixel @ difference @ to_pixel.T, target.area_sr / beam.area_sr
