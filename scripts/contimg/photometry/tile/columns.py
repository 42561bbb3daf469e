"""Columns of the table of a tile."""

from __future__ import annotations

import pyarrow as pa

from contimg.photometry.table import schema_of

_LIST = pa.list_(pa.float64())

# name, type, unit, meaning
PARTS = (
    ("part_hz", _LIST, "Hz", "middles of the parts of the band"),
    ("part_flux_jy", _LIST, "Jy", "flux densities in the parts, at their middles"),
    ("part_err_jy", _LIST, "Jy", "their standard errors"),
)
TILE_COLUMNS = (
    ("source", pa.string(), "", "name in the catalogue, or by position"),
    ("role", pa.string(), "", "target, or new: found in the residual of this tile"),
    ("ra_deg", pa.float64(), "deg", "right ascension (ICRS), of the catalogue"),
    ("dec_deg", pa.float64(), "deg", "declination (ICRS)"),
    ("group", pa.string(), "", "tile measured"),
    ("mjd", pa.float64(), "d", "mean time of the data at the source, UTC"),
    ("freq_hz", pa.float64(), "Hz", "frequency at which the flux density holds"),
    ("freq_eff_hz", pa.float64(), "Hz", "mean frequency of the data at the source"),
    ("flux_jy", pa.float64(), "Jy", "flux density"),
    ("flux_err_jy", pa.float64(), "Jy", "its standard error, scaled by the empty places"),
    ("flux_err_formal_jy", pa.float64(), "Jy", "its standard error by the weights alone"),
    ("snr", pa.float64(), "", "flux_jy / flux_err_jy"),
    *PARTS,
    ("beam", pa.float64(), "", "primary beam at the middle of the band, mean over the tile"),
    ("residual_snr", pa.float64(), "", "greatest residual within a beam, over the noise"),
    ("fit_ra_deg", pa.float64(), "deg", "fitted right ascension (bright sources)"),
    ("fit_dec_deg", pa.float64(), "deg", "fitted declination"),
    ("fit_err_arcsec", pa.float64(), "arcsec", "standard error of the fit along one axis"),
    ("size_major_arcsec", pa.float64(), "arcsec", "fitted major axis, FWHM (extended sources)"),
    ("size_minor_arcsec", pa.float64(), "arcsec", "minor axis"),
    ("size_pa_deg", pa.float64(), "deg", "position angle, north through east"),
    ("neighbours", pa.list_(pa.string()), "", "sources whose flux density is correlated with it"),
    ("neighbour_cov_jy2", _LIST, "Jy^2", "the covariances with them"),
    ("n_blend", pa.int64(), "", "correlated sources, this one included"),
    ("flag", pa.string(), "", "empty, or reasons to distrust the row separated by semicolons"),
)
TILE_SCHEMA = schema_of(TILE_COLUMNS)
