"""The preview of a mosaic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.fits import Beam
from contimg.core.pictures import label_sky, sky_axes, write_picture
from contimg.mosaic.beams import beam_of

_MAX_PIXELS = 1400  # along the longer side
_MAP_IN = 7.2  # width of the map without its scales
_SCALES_DEG = (1 / 60, 2 / 60, 5 / 60, 10 / 60, 0.25, 0.5, 1.0, 2.0, 5.0)


def plot_mosaic(
    path: Path,
    image: NDArray[np.floating],
    wcs: WCS,
    beam: Beam,
    rms_jy_beam: float,
    title: str,
) -> None:
    """Grey image from -3 to +12 times the noise, with beam, scale bar and colour bar."""
    from matplotlib.figure import Figure

    step = max(1, int(np.ceil(max(image.shape) / _MAX_PIXELS)))
    small, small_wcs = shrink(image, step), wcs[::step, ::step]
    ny, nx = small.shape
    height = float(np.clip(_MAP_IN * ny / nx, 3.0, 12.0)) + 0.8
    figure = Figure(figsize=(_MAP_IN + 1.8, height), layout="constrained")
    axes = sky_axes(figure, small_wcs)
    shown = axes.imshow(
        small * 1e3,
        origin="lower",
        cmap="gray_r",
        vmin=-3e3 * rms_jy_beam,
        vmax=12e3 * rms_jy_beam,
        interpolation="nearest",
    )
    figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02, label="mJy/beam")
    label_sky(axes)
    axes.set_title(title, fontsize=10)
    _draw_beam(axes, small_wcs, beam, nx, ny)
    _draw_scale(axes, small_wcs, nx, ny)
    write_picture(figure, path, dpi=130)


def shrink(image: NDArray[np.floating], step: int) -> NDArray[np.floating]:
    """Mean of the finite pixels in blocks of `step`."""
    if step == 1:
        return image
    rows, columns = (np.arange(0, n, step) for n in image.shape)
    result = np.full((rows.size, columns.size), np.nan)
    for i, row in enumerate(rows):  # a few rows at a time: the image may fill the memory
        band = image[row : row + step]
        finite = np.isfinite(band)
        total = np.add.reduceat(np.where(finite, band, 0.0).sum(axis=0), columns)
        count = np.add.reduceat(finite.sum(axis=0), columns)
        np.divide(total, count, out=result[i], where=count > 0)
    return result


def _draw_beam(axes, wcs: WCS, beam: Beam, nx: int, ny: int) -> None:
    """The beam at its true size in the lower left corner, as it lies at the mosaic's centre."""
    from matplotlib.patches import Ellipse, Rectangle

    to_pixel = np.linalg.inv(wcs.pixel_scale_matrix)
    # an ellipse on the pixel grid: its x and y take the places of east and north
    drawn = beam_of(to_pixel @ beam.covariance @ to_pixel.T)
    side = max(2.2 * drawn.major_deg, 0.03 * max(nx, ny))
    axes.add_patch(Rectangle((0, 0), side, side, facecolor="white", edgecolor="0.4"))
    axes.add_patch(
        Ellipse(
            (side / 2, side / 2),
            drawn.minor_deg,
            drawn.major_deg,
            angle=-drawn.pa_deg,
            facecolor="tab:red",
            edgecolor="none",
        )
    )


def _draw_scale(axes, wcs: WCS, nx: int, ny: int) -> None:
    cell = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    fitting = [s for s in _SCALES_DEG if s / cell <= 0.25 * nx]
    length = fitting[-1] if fitting else _SCALES_DEG[0]
    right, height = 0.97 * nx, 0.03 * ny
    label = f"{length:g}°" if length >= 1 else f"{length * 60:g}′"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
    axes.plot([right - length / cell, right], [height, height], color="tab:red", linewidth=2)
    axes.text(right, height * 1.4, label, ha="right", va="bottom", color="tab:red", bbox=box)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
