"""The table of flux densities: its columns, their types and units."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contimg.core.records import atomic

# name, type, unit, meaning
COLUMNS = (
    ("source", pa.string(), "", "name in the catalogue"),
    ("ra_deg", pa.float64(), "deg", "catalogue right ascension (ICRS), where the flux is fitted"),
    ("dec_deg", pa.float64(), "deg", "catalogue declination (ICRS)"),
    ("mosaic", pa.string(), "", "mosaic measured"),
    ("mjd", pa.float64(), "d", "mean time of the data at the source, UTC"),
    (
        "flux_jy",
        pa.float64(),
        "Jy",
        "flux density at the catalogue position; integrated if extended",
    ),
    ("flux_err_jy", pa.float64(), "Jy", "its standard error: noise correlation, unlikely chi^2"),
    ("rms_jy_beam", pa.float64(), "Jy/beam", "local noise"),
    ("snr", pa.float64(), "", "flux_jy / flux_err_jy"),
    ("chi2_reduced", pa.float64(), "", "chi^2 of the fit over its expectation"),
    ("residual_max_sigma", pa.float64(), "", "highest pixel left within two beams, over the noise"),
    ("residual_min_sigma", pa.float64(), "", "lowest pixel left within two beams, over the noise"),
    ("size_major_arcsec", pa.float64(), "arcsec", "intrinsic major axis, FWHM (extended sources)"),
    ("size_minor_arcsec", pa.float64(), "arcsec", "intrinsic minor axis, FWHM"),
    ("fit_ra_deg", pa.float64(), "deg", "fitted right ascension (bright sources)"),
    ("fit_dec_deg", pa.float64(), "deg", "fitted declination"),
    ("fit_err_arcsec", pa.float64(), "arcsec", "standard error of the fit along one axis"),
    ("fit_flux_jy", pa.float64(), "Jy", "flux density at the fitted position"),
    ("bmaj_deg", pa.float64(), "deg", "beam major axis, FWHM"),
    ("bmin_deg", pa.float64(), "deg", "beam minor axis, FWHM"),
    ("bpa_deg", pa.float64(), "deg", "beam position angle, north through east"),
    ("n_blend", pa.int64(), "", "sources fitted together, this one included"),
    (
        "scale_factor",
        pa.float64(),
        "",
        "what flux densities were divided by: flux scale of the tiles, 1 for nothing",
    ),
    ("scale_factor_err", pa.float64(), "", "its error, not part of flux_err_jy"),
    ("flag", pa.string(), "", "empty, or words of core/rowflags.py separated by semicolons"),
)


def schema_of(columns: tuple) -> pa.Schema:
    """Types of (name, type, unit, meaning), unit and meaning as the metadata of the fields."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"unit": unit, "description": text})
            for name, kind, unit, text in columns
        ]
    )


SCHEMA = schema_of(COLUMNS)


def write_table(path: Path, table: pd.DataFrame, schema: pa.Schema = SCHEMA) -> None:
    """Write `table` atomically as Parquet, with the units in the metadata of the fields."""
    content = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    with atomic(path) as partial:
        pq.write_table(content.replace_schema_metadata(None), partial)
