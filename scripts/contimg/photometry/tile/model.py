"""The sources that took part in the fit of a tile, as found: what the imager subtracts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from contimg.core.catalog import SIZES
from contimg.photometry.table import schema_of
from contimg.photometry.tile import targets
from contimg.photometry.tile.measure import TileFit
from contimg.photometry.tile.table import j2000_seconds

_LIST = pa.list_(pa.float64())
MODEL_COLUMNS = (
    ("name", pa.string(), "", "name in the model of the field or catalogue, or by position"),
    ("role", pa.string(), "", "target, field, outside, component, new, unsure (faint)"),
    ("ra_deg", pa.float64(), "deg", "right ascension (ICRS) as fitted"),
    ("dec_deg", pa.float64(), "deg", "declination (ICRS) as fitted"),
    ("offset_east_arcsec", pa.float64(), "arcsec", "from its place in the catalogue"),
    ("offset_north_arcsec", pa.float64(), "arcsec", "from its place in the catalogue"),
    ("freq_hz", pa.float64(), "Hz", "where the flux densities hold"),
    ("fitted_jy", pa.float64(), "Jy", "flux density as fitted"),
    ("flux_err_jy", pa.float64(), "Jy", "its standard error"),
    ("level_jy", pa.float64(), "Jy", "what the data hold of it is this times factor"),
    ("spectral_index", pa.float64(), "", "of the catalogue"),
    ("log_poly", pa.string(), "", "polynomial of the catalogue"),
    ("factor_hz", _LIST, "Hz", "where the spectrum is known, if it is not the catalogue's"),
    ("factor", _LIST, "", "the spectrum there over that of the catalogue"),
    *((name, pa.float64(), "", "size in the catalogue, or as fitted") for name in SIZES),
    ("beam", pa.float64(), "", "primary beam at the middle of the band, mean over the tile"),
    ("noise", pa.float64(), "", "of the tile: what 1/sqrt(weight) is to be multiplied by"),
)
MODEL_SCHEMA = schema_of(MODEL_COLUMNS)


def model_table(fitted: TileFit) -> pd.DataFrame:
    """One row a source that was fitted, empty places aside (``MODEL_COLUMNS``)."""
    solution = fitted.solution
    n = len(solution.flux_jy)
    rows = fitted.table.iloc[:n].reset_index(drop=True)
    east = (rows["fit_ra_deg"] - rows["ra_deg"] + 180) % 360 - 180
    table = rows.assign(
        name=rows["alias"].fillna(rows["name"]),
        ra_deg=rows["fit_ra_deg"],
        dec_deg=rows["fit_dec_deg"],
        offset_east_arcsec=3600 * east * np.cos(np.radians(rows["dec_deg"])),
        offset_north_arcsec=3600 * (rows["fit_dec_deg"] - rows["dec_deg"]),
        freq_hz=fitted.model.unit_hz,
        fitted_jy=solution.flux_jy,
        flux_err_jy=np.sqrt(np.diagonal(fitted.covariance)),
        level_jy=fitted.level,
        factor_hz=[list(fitted.spectra.get(name, ((), ()))[0]) for name in rows["name"]],
        factor=[list(fitted.spectra.get(name, ((), ()))[1]) for name in rows["name"]],
        noise=fitted.natural_noise,
    )
    new = table["role"] == targets.NEW
    places = zip(table["ra_deg"][new], table["dec_deg"][new], strict=True)
    table.loc[new, "name"] = [f"new_{j2000_seconds(*place)}" for place in places]
    table[[c for c in SIZES if c not in table]] = np.nan
    kept = (rows["role"] != targets.NULL) & np.isfinite(solution.flux_jy)
    return table.loc[kept, list(MODEL_SCHEMA.names)]
