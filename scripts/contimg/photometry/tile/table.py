"""Tables of flux densities fitted to visibilities: of a tile, and of the tiles of a mosaic."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.catalog import SIZES
from contimg.core.coords import j2000_seconds
from contimg.core.fluxfit.sweep import Arrays
from contimg.photometry.tile import targets
from contimg.photometry.tile.columns import TILE_SCHEMA
from contimg.photometry.tile.measure import TileFit
from contimg.photometry.tile.rounds import NEIGHBOUR

_MISFIT_SNR = 7.0  # of the residual next to a source


def tile_table(fitted: TileFit, blocks: Arrays, group: str) -> pd.DataFrame:
    """One row a target and new source of a tile (``columns.TILE_COLUMNS``)."""
    rows = fitted.table
    n = len(fitted.solution.flux_jy)
    names = rows["same"].to_numpy()[:n]
    wanted = rows[rows["role"].isin([targets.TARGET, targets.NEW])]
    heads = [name for name in dict.fromkeys(wanted["same"])]
    # flux density of a source: its row and its components, added
    membership = np.stack([names == head for head in heads]).astype(float)
    flux, covariance = _added(membership, fitted.solution.flux_jy, fitted.covariance)
    parts = _parts(fitted, membership)
    place = pd.Series(np.arange(n), rows["name"].to_numpy()[:n]).reindex(heads).to_numpy()
    error = np.sqrt(np.diagonal(covariance))
    mjd, freq = _effective(fitted, blocks)
    own = rows.iloc[place]
    highest = fitted.image.highest(fitted.model.lmn[:, place])
    neighbours = _neighbours(covariance, heads)
    count = wanted["same"].value_counts()
    components = pd.Series(names[(rows["role"] == targets.COMPONENT)[:n]]).value_counts()
    sized = [fitted.sizes.get(head) for head in heads]
    flags = {
        "extended": np.array([size is not None for size in sized]),
        "resolved": np.array([components.get(head, 0) > 0 for head in heads]),
        "residual": np.abs(np.nan_to_num(highest)) > _MISFIT_SNR,
        "not_measured": ~np.isfinite(flux),
    }
    first = pd.DataFrame(
        {
            "head": heads,
            "group": group,
            "mjd": mjd[place],
            "freq_hz": fitted.model.unit_hz,
            "freq_eff_hz": freq[place],
            "flux_jy": flux,
            "flux_err_jy": error,
            "flux_err_formal_jy": error / fitted.factor,
            "snr": flux / error,
            **parts,
            "beam": own["beam"].to_numpy(),
            "residual_snr": highest,
            **_positions(fitted, own, place),
            **{
                f"size_{part}": [np.nan if s is None else getattr(s, part) for s in sized]
                for part in SIZES
            },
            **neighbours,
            "flag": [
                ";".join(f for f, raised in flags.items() if raised[k]) for k in range(len(heads))
            ],
        }
    )
    known = ["name", "role", "ra_deg", "dec_deg", "same"]
    table = wanted[known].merge(first, left_on="same", right_on="head")
    shared = table["same"].map(count) > 1
    table["flag"] = [
        ";".join(f for f in (flag, "duplicate" if twice else "") if f)
        for flag, twice in zip(table["flag"], shared, strict=True)
    ]
    return table.assign(source=_names(table))[list(TILE_SCHEMA.names)].sort_values("source")


def _names(table: pd.DataFrame) -> list[str]:
    """Catalogued names; new sources are named by their place."""
    return [
        f"new_{j2000_seconds(row.ra_deg, row.dec_deg)}" if row.role == targets.NEW else row.name_
        for row in table.rename(columns={"name": "name_"}).itertuples()
    ]


def _added(membership: NDArray, flux: NDArray, covariance: NDArray) -> tuple[NDArray, NDArray]:
    """Sums over the rows of each source, and their covariance; NaN where a row was not measured."""
    bad = ~np.isfinite(flux)
    total = membership @ np.where(bad, 0, flux)
    spread = membership @ np.where(np.isfinite(covariance), covariance, 0) @ membership.T
    lost = (membership @ bad.astype(float)) > 0
    total[lost] = np.nan
    spread[lost, lost] = np.nan
    return total, spread


def _parts(fitted: TileFit, membership: NDArray) -> dict[str, list]:
    """Flux densities in the parts, turned from the unit's frequency to that of the part."""
    hz = fitted.solution.part_hz
    alpha = fitted.table["spectral_index"].to_numpy()[: membership.shape[1]]
    slope = (hz[:, None] / fitted.model.unit_hz) ** alpha
    flux = (fitted.solution.part_flux_jy * slope) @ membership.T
    error = np.sqrt((fitted.part_error * slope) ** 2 @ membership.T)
    return {
        "part_hz": [hz.tolist()] * len(membership),
        "part_flux_jy": flux.T.tolist(),
        "part_err_jy": error.T.tolist(),
    }


def _positions(fitted: TileFit, own: pd.DataFrame, place: NDArray) -> dict[str, NDArray]:
    error = fitted.position_error[place]
    moved = np.isfinite(error)
    return {
        "fit_ra_deg": np.where(moved, own["fit_ra_deg"], np.nan),
        "fit_dec_deg": np.where(moved, own["fit_dec_deg"], np.nan),
        "fit_err_arcsec": error,
    }


def _neighbours(covariance: NDArray, heads: list[str]) -> dict[str, list]:
    """Names and covariances of the correlated."""
    error = np.sqrt(np.diagonal(covariance))
    close = np.abs(covariance / np.outer(error, error)) > NEIGHBOUR
    np.fill_diagonal(close, False)
    which = [np.flatnonzero(row) for row in close]
    return {
        "neighbours": [[heads[k] for k in others] for others in which],
        "neighbour_cov_jy2": [covariance[i, others].tolist() for i, others in enumerate(which)],
        "n_blend": [1 + others.size for others in which],
    }


def _effective(fitted: TileFit, blocks: Arrays) -> tuple[NDArray, NDArray]:
    """Mean time (MJD) and frequency [Hz] of the data at each row, weights times beam squared."""
    axes, amplitude = fitted.model.axes, fitted.model.amplitude
    weight = np.stack([b.weight.sum(axis=0, dtype=np.float64) for b in blocks])
    each = amplitude.astype(np.float64) ** 2 * weight[:, None, :]
    total = np.where(each.any(axis=(0, 2)), each.sum(axis=(0, 2)), np.nan)
    seconds = (axes.mjd - axes.mjd[0]) * 86400
    later = np.einsum("tsc,t->s", each, seconds) / total
    return axes.mjd[0] + later / 86400, np.einsum("tsc,c->s", each, axes.freq_hz) / total
