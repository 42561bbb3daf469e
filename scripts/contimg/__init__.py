"""Calibrated images, mosaics, light curves and ESE candidates from DSA-110 visibilities."""

__version__ = "0.1.0"
