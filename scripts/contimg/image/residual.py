"""Imaging of data whose sources are subtracted: gridded once, cleaned little.

What is left holds noise and what the catalogue lacks. It is gridded once with ducc0, the library
that WSClean's wgridder is made of, and the few peaks there are cleaned by Clark's minor cycle: on
the pixels that stand out, with a patch of the psf. Components of bright peaks are taken out of the
visibilities and the rest is gridded again; those of faint ones are taken out of the image.
"""

from __future__ import annotations

import dataclasses
from importlib import metadata
from pathlib import Path

import numpy as np
from astropy.io import fits
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from contimg.core import dirty
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines
from contimg.core.errors import DataQualityError
from contimg.core.fits import FWHM_TO_SIGMA, Beam, Image
from contimg.core.fluxfit.measurement import stokes_i
from contimg.core.fluxfit.sweep import Arrays
from contimg.core.ms import Axes, read_axes
from contimg.core.robust import robust_rms
from contimg.image import masks
from contimg.image.extended import tapers
from contimg.image.grid import Grid
from contimg.image.imager import ImagerOutput
from contimg.image.options import ImageOptions
from contimg.image.units import flux_jy

_PADDED = 1.2  # times the image: the field whose cells weights are counted in, as WSClean's
_UNIFORM = 1e6  # f^2 of the weights, over that of robust 0: uniform
_MAJOR_CYCLES = 12  # of data with all their sources; what is subtracted leaves two or three
_PATCH_BEAMS = 20  # half a side of the part of the psf that is cleaned with
_FAR_BEAMS = 60  # and with which the last, faint components are taken out of the image
_LAST = 10.0  # times the level down to which is cleaned: from there on in one minor cycle
_SIDELOBES = 1.2  # times the highest sidelobe of the peak: lower is not cleaned in one minor cycle
_GROWN = 1.5  # times the least that the highest pixel was: then the minor cycle goes wrong
_GAIN = 0.1
_GROUP = 128  # pixels of which the highest is kept in mind
_STAMP_SIGMAS = 5.0


def make_images(
    ms: Path,
    scratch: Path,
    grid: Grid,
    options: ImageOptions,
    *,
    mask: Path | None = None,
    threads: int = 1,
    shifted: bool = False,
    left: Arrays | None = None,
) -> ImagerOutput:
    """Image `ms`, or of its Stokes I what is `left`.

    `shifted` tells whether the image's centre is not that of the data.
    """
    axes = read_axes(ms)
    blocks = stokes_i(ms, axes, scratch) if left is None else left
    rows = axes.uvw_m.reshape(-1, 3)
    cell = float(np.radians(grid.cell_arcsec / 3600))
    natural = blocks.weight.reshape(len(rows), -1)
    # as in WSClean the density of the uv plane is that of all data, whatever range is imaged
    weight = _weighted(rows, axes, natural, grid.size, cell, options)
    weight = _in_range(rows, axes, weight, options)
    gridder = dirty.Gridder(
        rows,
        axes.freq_hz,
        grid.size,
        cell,
        middle=_middle(grid, axes) if shifted else (0.0, 0.0),
        east_left=True,
        accuracy=max(options.gridder_accuracy or 1e-4, 1e-5),
        threads=threads,
    )
    central = dataclasses.replace(gridder, middle=(0.0, 0.0))
    psf = central.image(np.ones(weight.shape, np.complex64), weight)
    psf /= psf[grid.size // 2, grid.size // 2]  # of the gridder's accuracy
    beam = grid.beam  # the core of the psf of these weights
    data = blocks.data.reshape(weight.shape)
    first = gridder.image(data, weight)
    allowed = None if mask is None else fits.getdata(mask)[0, 0].T > 0
    model, rest = _clean(first, psf, data, weight, gridder, beam, allowed, options)
    image = rest + _restored(model, beam, cell)
    wcs = masks.grid_wcs(grid, axes.phase_center_rad)
    wcs.array_shape = (grid.size, grid.size)
    planes = {"image": image, "residual": rest, "psf": psf, "model": model, "dirty": first}
    if options.niter == 0:
        del planes["model"]
    freq = float(axes.freq_hz.mean())
    images = {
        name: Image(np.ascontiguousarray(plane.T), wcs, beam, freq, fits.Header())
        for name, plane in planes.items()
    }
    software = f"ducc0 {metadata.version('ducc0')}"
    looked = tapers(rows, axes.freq_hz, data, natural, weight, beam)
    return ImagerOutput({}, int((weight > 0).sum()), software, images=images, tapers=looked)


def _in_range(
    rows: NDArray, axes: Axes, weight: NDArray[np.float32], options: ImageOptions
) -> NDArray[np.float32]:
    """Weights, zero outside the uv range."""
    if options.uv_min_lambda <= 0 and options.uv_max_lambda is None:
        return np.asarray(weight)
    distance = np.hypot(rows[:, 0], rows[:, 1])[:, None] * (axes.freq_hz / C_M_S)
    wanted = distance >= options.uv_min_lambda
    if options.uv_max_lambda is not None:
        wanted &= distance <= options.uv_max_lambda
    kept = np.where(wanted, weight, 0)
    if not kept.any():
        raise DataQualityError("no unflagged visibilities")
    return kept


def _weighted(
    rows: NDArray,
    axes: Axes,
    weight: NDArray[np.float32],
    size: int,
    cell_rad: float,
    options: ImageOptions,
) -> NDArray[np.float32]:
    """Natural weights, or divided by what the density of the uv plane asks for."""
    if options.weighting == "natural":
        return weight
    cells = dirty.density(rows, axes.freq_hz, weight, 2 * round(_PADDED * size / 2), cell_rad)
    uniform = options.weighting == "uniform"
    f2 = _UNIFORM * cells.robust(0.0) if uniform else cells.robust(options.robust or 0.0)
    return dirty.reweighted(cells, rows, axes.freq_hz, weight, f2)


def _middle(grid: Grid, axes: Axes) -> tuple[float, float]:
    """Direction cosines of the image's centre."""
    l_cos, m_cos, _ = direction_cosines(*grid.center_rad, *axes.phase_center_rad)
    return float(l_cos), float(m_cos)


def _clean(
    first: NDArray[np.float32],
    psf: NDArray[np.float32],
    data: NDArray[np.complex64],
    weight: NDArray[np.float32],
    gridder: dirty.Gridder,
    beam: Beam,
    allowed: NDArray[np.bool_] | None,
    options: ImageOptions,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(model [Jy/pixel], residual [Jy/beam]), [x, y]."""
    model, rest = np.zeros_like(first), first
    width = max(1, round(np.radians(beam.major_deg) / gridder.cell_rad))
    middle, reach = psf.shape[0] // 2, min(_PATCH_BEAMS * width, psf.shape[0] // 2 - 1)
    box = slice(middle - reach, middle + reach + 1)
    patch = np.ascontiguousarray(psf[box, box])
    lobe = np.hypot(*(np.indices(psf.shape) - psf.shape[0] // 2)) <= width
    depth = max(1 - (options.mgain or 1.0), _SIDELOBES * float(np.abs(psf[~lobe]).max()))
    left = options.niter or 0
    for _ in range(options.major_cycles or _MAJOR_CYCLES):
        places, limit = _candidates(rest, model, width, allowed, options)
        if not left or not places.size:
            break
        values = rest[places[0], places[1]].astype(np.float64)
        peak = float(np.abs(values).max())
        last = peak < _LAST * limit
        stop = limit if last else max(limit, peak * depth)
        flux, done = _minor(values, places, patch, options.gain or _GAIN, stop, left)
        if not done:
            break
        left -= done
        cleaned = model.copy()
        cleaned[places[0], places[1]] += flux.astype(np.float32)
        if last:  # what is left of faint peaks beyond the larger part is below the noise
            far = min(_FAR_BEAMS * width, middle - 1)
            box = slice(middle - far, middle + far + 1)
            model, rest = cleaned, rest.copy()
            _take(
                rest,
                places[:, flux != 0],
                flux[flux != 0].astype(np.float32),
                np.ascontiguousarray(psf[box, box]),
            )
            break
        after = gridder.image(data - gridder.visibilities(cleaned), weight)
        if _highest_of(after, allowed) >= _highest_of(rest, allowed):
            break  # far sidelobes of data that are wrong: what follows would only make it worse
        model, rest = cleaned, after
    return model, rest


def _highest_of(rest: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> float:
    """Greatest modulus where components may be."""
    return float(np.abs(rest if allowed is None else rest[allowed]).max(initial=0))


def _candidates(
    rest: NDArray[np.float32],
    model: NDArray[np.float32],
    width: int,
    allowed: NDArray[np.bool_] | None,
    options: ImageOptions,
) -> tuple[NDArray[np.int64], float]:
    """Pixels (2, n) that may be cleaned, and the level [Jy/beam] down to which.

    Those above the lower limit within a beam of what is above the upper one, or of a component.
    """
    noise = robust_rms(rest)
    limit = (options.auto_threshold or 1.0) * noise
    if options.threshold is not None:
        limit = max(limit, flux_jy(options.threshold))
    size = np.abs(rest)
    seeds = (size > max(limit, (options.auto_mask or 0) * noise)) | (model != 0)
    if allowed is not None:
        seeds &= allowed
    near = binary_dilation(seeds, np.ones((3, 3)), iterations=width)
    if allowed is not None:
        near &= allowed
    return np.stack(np.nonzero(near & (size > limit))), limit


@njit(cache=True, fastmath=True)
def _take(rest, places, flux, psf):
    """Take the psf, its middle at `places` (2, n), times `flux` off `rest`."""
    middle = psf.shape[0] // 2
    for k in range(flux.size):
        x0, y0 = places[0, k] - middle, places[1, k] - middle
        left, right = max(0, -y0), min(psf.shape[1], rest.shape[1] - y0)
        for i in range(max(0, -x0), min(psf.shape[0], rest.shape[0] - x0)):
            target, pattern = rest[x0 + i, y0 + left : y0 + right], psf[i, left:right]
            for j in range(pattern.size):
                target[j] -= flux[k] * pattern[j]


@njit(cache=True)
def _minor(values, places, psf, gain, stop, most):
    """Flux of each place [Jy] and iterations made: the highest place loses `gain` of itself.

    Places are in the order of their rows, so that those within the patch of one are in a row, and
    the highest is looked for among the highest of groups.
    """
    flux = np.zeros(values.size)
    middle = psf.shape[0] // 2
    tops = np.zeros((values.size + _GROUP - 1) // _GROUP, np.int64)
    for group in range(tops.size):
        tops[group] = _highest(values, group)
    least = np.inf
    done = 0
    while done < most:
        top = tops[0]
        for other in tops:
            if abs(values[other]) > abs(values[top]):
                top = other
        peak = abs(values[top])
        least = min(least, peak)
        if peak <= stop or peak > _GROWN * least:
            break
        taken = gain * values[top]
        flux[top] += taken
        first = np.searchsorted(places[0], places[0, top] - middle)
        last = np.searchsorted(places[0], places[0, top] + middle + 1)
        for k in range(first, last):
            y = places[1, k] - places[1, top] + middle
            if 0 <= y < psf.shape[1]:
                values[k] -= taken * psf[places[0, k] - places[0, top] + middle, y]
        for group in range(first // _GROUP, (last - 1) // _GROUP + 1):
            tops[group] = _highest(values, group)
        done += 1
    return flux, done


@njit(cache=True)
def _highest(values, group):
    """Place of the value of greatest modulus of a group."""
    top = group * _GROUP
    for k in range(top, min(values.size, top + _GROUP)):
        if abs(values[k]) > abs(values[top]):
            top = k
    return top


def _restored(model: NDArray[np.float32], beam: Beam, cell_rad: float) -> NDArray[np.float32]:
    """Components as Gaussians of the beam, [x, y] with x to the west, Jy/beam."""
    result = np.zeros_like(model)
    sigma = np.radians([beam.major_deg, beam.minor_deg]) * FWHM_TO_SIGMA / cell_rad
    reach = int(np.ceil(_STAMP_SIGMAS * sigma[0]))
    west, north = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.radians(beam.pa_deg)
    along = (-west * np.sin(angle) + north * np.cos(angle)) / sigma[0]
    across = (-west * np.cos(angle) - north * np.sin(angle)) / sigma[1]
    stamp = np.exp(-(along**2 + across**2) / 2).astype(np.float32)
    padded = np.pad(result, reach)
    for x, y in zip(*np.nonzero(model), strict=True):
        padded[x : x + 2 * reach + 1, y : y + 2 * reach + 1] += model[x, y] * stamp
    return padded[reach:-reach, reach:-reach]
