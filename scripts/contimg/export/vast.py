"""Tables under the names of the VAST pipeline, which TraP's tools read as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from contimg.core.window import utc_of


def measurements(rows: pd.DataFrame, photometry: pd.DataFrame) -> pd.DataFrame:
    """One row a measurement: flux densities in mJy, as measured.

    `photometry` has what light curves do not repeat: ``source``, ``mosaic``, ``rms_jy_beam`` and,
    where they were measured, sizes of the beam.
    """
    table = rows.merge(photometry, on=["source", "mosaic"], how="left")
    flux, error = 1e3 * table["flux_jy"], 1e3 * table["flux_err_jy"]
    nothing = pd.Series(np.nan, index=table.index)
    return pd.DataFrame(
        {
            "source": table["source"],
            "image": table["mosaic"],
            "time": utc_of(table["mjd"].to_numpy(dtype=float)),
            "mjd": table["mjd"],
            "ra": table["ra_deg"],
            "dec": table["dec_deg"],
            "flux_peak": flux,
            "flux_peak_err": error,
            "flux_int": flux,
            "flux_int_err": error,
            "local_rms": 1e3 * table.get("rms_jy_beam", nothing),
            "bmaj": 3600 * table.get("bmaj_deg", nothing),
            "bmin": 3600 * table.get("bmin_deg", nothing),
            "pa": table.get("bpa_deg", nothing),
            "snr": table["flux_jy"] / table["flux_err_jy"],
            "forced": True,
            "has_siblings": False,
            "flag": table["flag"].fillna("") != "",
        }
    )


def images(obscore: pd.DataFrame, noise: Mapping[str, float]) -> pd.DataFrame:
    """One row a mosaic; `noise` is its median noise [Jy/beam]."""
    table = obscore[obscore["calib_level"] == 3]
    middle = (table["t_min"] + table["t_max"]) / 2
    return pd.DataFrame(
        {
            "name": table["obs_id"],
            "path": table["access_url"],
            "datetime": utc_of(middle.to_numpy(dtype=float)),
            "jd": middle + 2400000.5,
            "duration": table["t_exptime"],
            "ra": table["s_ra"],
            "dec": table["s_dec"],
            "fov_bmaj": table["s_fov"],
            "beam_bmaj": table["s_resolution"] / 3600,
            "rms_median": [1e3 * noise.get(name, np.nan) for name in table["obs_id"]],
            "frequency": 299.792458 / ((table["em_min"] + table["em_max"]) / 2),
        }
    )


def sources(table: pd.DataFrame) -> pd.DataFrame:
    """One row a source: weighted mean position and flux density, eta, V."""
    return pd.DataFrame(
        {
            "name": table["source"],
            "wavg_ra": table["ra_deg"],
            "wavg_dec": table["dec_deg"],
            "avg_flux_int": 1e3 * table["mean_flux_jy"],
            "n_meas": table["n_epochs"],
            "v_int": table["v"],
            "eta_int": table["eta"],
            "vs_abs_significant_max_int": table["vs_max"].abs(),
            "m_abs_significant_max_int": table["m_at_vs_max"].abs(),
        }
    )


def plain(value: Any) -> Any:
    """A number as JSON has it; none where it is not finite."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
