"""Where clean may find components: about catalogued sources, and in regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density, read_sources
from contimg.core.errors import ContimgError
from contimg.image.grid import Grid
from contimg.image.options import ImageOptions
from contimg.image.primary_beam import drift_averaged_response
from contimg.image.regions import fill, fill_circles, read_regions
from contimg.image.visibilities import Sampling, mean_frequency


def grid_wcs(grid: Grid, reference_rad: tuple[float, float]) -> WCS:
    """Celestial coordinates of the pixels of `grid`, projected about `reference_rad` (ICRS)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = np.degrees(reference_rad)
    middle = np.array([grid.size // 2 + 1] * 2, dtype=float)
    wcs.wcs.crpix = middle
    wcs.wcs.cdelt = [-grid.cell_arcsec / 3600, grid.cell_arcsec / 3600]
    wcs.wcs.radesys = "ICRS"
    if grid.center_rad != reference_rad:
        centre = wcs.all_world2pix([np.degrees(grid.center_rad)], 1)[0]
        wcs.wcs.crpix = 2 * middle - centre
        wcs.wcs.set()
    return wcs


def apparent_fluxes(
    sources: pd.DataFrame, beam: PrimaryBeam, sampling: Sampling
) -> NDArray[np.float64]:
    """Flux density of each source times the beam averaged over the drift [Jy]."""
    ra, dec = np.radians(sources["ra_deg"].to_numpy()), np.radians(sources["dec_deg"].to_numpy())
    response = drift_averaged_response(beam, sampling, ra, dec)
    return flux_density(sources, mean_frequency(sampling))[:, 0] * response


def clean_mask(
    grid: Grid,
    wcs: WCS,
    options: ImageOptions,
    catalog: Path | None,
    beam: PrimaryBeam,
    sampling: Sampling,
) -> NDArray[np.bool_] | None:
    """Union of the masks that effective `options` ask for [y, x]; None when they ask for none."""
    if not options.mask_catalog and options.mask_regions is None:
        return None
    mask = np.zeros((grid.size, grid.size), bool)
    if options.mask_catalog:
        assert catalog is not None
        sources = read_sources(catalog)
        bright = apparent_fluxes(sources, beam, sampling) >= options.mask_min_jy
        points = sources.loc[bright, ["ra_deg", "dec_deg"]].to_numpy(dtype=float)
        fill_circles(mask, points, options.mask_radius_beams * grid.beam.major_deg, wcs)
    if options.mask_regions is not None:
        fill(mask, read_regions(options.mask_regions), wcs)
    if not mask.any():
        raise ContimgError(
            "the clean mask is empty: no region or catalogued source above image.mask_min_jy"
            " lies in the image"
        )
    return mask


def write_mask(path: Path, mask: NDArray[np.bool_], wcs: WCS, freq_hz: float) -> None:
    """A mask as both imagers read it: four axes, 1 where components may be found."""
    header = wcs.to_header()
    for axis, ctype, value in ((3, "FREQ", freq_hz), (4, "STOKES", 1.0)):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = ctype, value
        header[f"CRPIX{axis}"], header[f"CDELT{axis}"] = 1.0, 1.0
    header["CUNIT3"] = "Hz"
    header["WCSAXES"] = 4
    fits.PrimaryHDU(mask[None, None].astype(np.float32), header).writeto(path)
