"""Cell and size of an image when they are not given."""

from __future__ import annotations

import numpy as np

from contimg.core.beam import PrimaryBeam
from contimg.image.options import ImageOptions
from contimg.image.visibilities import Sampling, mean_frequency


def image_grid(sampling: Sampling, beam: PrimaryBeam, options: ImageOptions) -> tuple[int, float]:
    """(pixels on a side, cell [arcsec]); what the options give is never changed."""
    cell = options.cell_arcsec or derived_cell_arcsec(sampling)
    size = options.imsize or derived_size(sampling, beam, options.pb_edge, cell)
    return size, cell


def derived_cell_arcsec(sampling: Sampling) -> float:
    """Cell that samples the longest baseline at twice its Nyquist rate, to 0.1 arcsec."""
    nyquist = np.degrees(0.5 / sampling.longest_lambda) * 3600
    return max(0.1, float(np.floor(nyquist / 2 * 10) / 10))


def derived_size(sampling: Sampling, beam: PrimaryBeam, pb_edge: float, cell: float) -> int:
    """Side that reaches from the centre to where one pointing responds `pb_edge`, FFT-friendly."""
    from scipy.fft import next_fast_len
    from scipy.optimize import brentq

    freq = mean_frequency(sampling)
    fwhm = beam.fwhm_rad(freq)
    radius = brentq(lambda t: float(beam.power(t, freq)) - pb_edge, fwhm / 10, fwhm * 1.05)
    size = 2 * np.degrees(radius) * 3600 / cell
    half = int(next_fast_len(int(np.ceil(size / 2)), real=True))
    return 2 * half
