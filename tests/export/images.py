"""What the tests of HiPS are made of."""

from __future__ import annotations

from astropy.io import fits

# a row of the table of images, as far as a HiPS asks it
ABOUT = {
    **{"obs_id": "m", "facility_name": "OVRO_MMA", "obs_collection": "OVRO_MMA contimg"},
    **{"t_min": 60953.0, "t_max": 60953.1, "em_min": 0.2, "em_max": 0.23},
}


def sky_header(ra_deg: float, dec_deg: float, cell_deg: float, pixels: int) -> fits.Header:
    """A square image in the orthographic projection, north up, its centre between pixels."""
    header = fits.Header()
    axes = (("RA---SIN", ra_deg, -cell_deg), ("DEC--SIN", dec_deg, cell_deg))
    for axis, (kind, value, step) in enumerate(axes, start=1):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, value
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = step, (pixels + 1) / 2
    return header
