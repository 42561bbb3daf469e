"""Centre, cell and size of an image; what the options give is never changed."""

from __future__ import annotations

import dataclasses

import numpy as np

from contimg.core.beam import PrimaryBeam
from contimg.core.coords import separation
from contimg.core.fits import Beam
from contimg.core.roots import falling
from contimg.image.options import ImageOptions, parse_center
from contimg.image.synthesis import expected_beam
from contimg.image.visibilities import Sampling, mean_frequency


@dataclasses.dataclass(frozen=True)
class Grid:
    """Pixels of an image: `size` on a side, about `center_rad` (ICRS)."""

    size: int
    cell_arcsec: float
    center_rad: tuple[float, float]
    beam: Beam  # that the uv coverage gives


def image_grid(sampling: Sampling, beam: PrimaryBeam, options: ImageOptions) -> Grid:
    """Grid of an image with effective `options`: as given, or from the beam and the field."""
    center = sampling.axes.phase_center_rad
    if options.phase_center is not None:
        ra_deg, dec_deg = parse_center(options.phase_center)
        center = (float(np.radians(ra_deg)), float(np.radians(dec_deg)))
    if options.imsize and options.cell_arcsec:
        field = float(np.radians(options.imsize * options.cell_arcsec / 3600))
    else:
        field = 2 * field_radius(sampling, beam, options.pb_edge, center)
    expected = expected_beam(sampling, options, field)
    cell = options.cell_arcsec
    if cell is None:
        assert options.pixels_per_beam is not None
        cell = derived_cell_arcsec(expected, options.pixels_per_beam)
    size = options.imsize or derived_size(field, cell)
    return Grid(size, cell, center, expected)


def derived_cell_arcsec(expected: Beam, pixels_per_beam: float) -> float:
    """Cell with so many pixels across the minor axis of the beam, down to 0.1 arcsec."""
    return max(0.1, float(np.floor(expected.minor_deg * 3600 / pixels_per_beam * 10) / 10))


def derived_size(field_rad: float, cell_arcsec: float) -> int:
    """Pixels on the side of a field: even, with small prime factors for the FFT."""
    from scipy.fft import next_fast_len

    half = int(np.ceil(np.degrees(field_rad) * 3600 / cell_arcsec / 2))
    return 2 * int(next_fast_len(half, real=True))


def field_radius(
    sampling: Sampling, beam: PrimaryBeam, pb_edge: float, center_rad: tuple[float, float]
) -> float:
    """Distance [rad] from the centre to where the drift-averaged beam is `pb_edge`, at most.

    Along right ascension the drift widens the field, so all four directions are tried.
    """
    freq = mean_frequency(sampling)
    weight = sampling.weight.sum(axis=1)
    ra, dec = sampling.axes.pointing_rad
    fwhm = beam.fwhm_rad(freq)
    drift = float(separation(*center_rad, ra, dec).max())

    def response(distance: float, angle: float) -> float:
        there = _offset(center_rad, distance, angle)
        return float((weight * beam.power(separation(*there, ra, dec), freq)).sum() / weight.sum())

    radii = [
        falling(lambda d, a=angle: response(d, a) - pb_edge, 0, 1.05 * fwhm + drift)
        for angle in np.radians([0, 90, 180, 270])
        if response(0, angle) > pb_edge > response(1.05 * fwhm + drift, angle)
    ]
    return max(radii, default=fwhm)


def _offset(center: tuple[float, float], distance: float, angle: float) -> tuple[float, float]:
    """Position at a distance and an angle (north through east) from `center` [rad]."""
    ra0, dec0 = center
    dec = np.arcsin(
        np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle)
    )
    d_ra = np.arctan2(
        np.sin(angle) * np.sin(distance) * np.cos(dec0),
        np.cos(distance) - np.sin(dec0) * np.sin(dec),
    )
    return float(ra0 + d_ra), float(dec)
