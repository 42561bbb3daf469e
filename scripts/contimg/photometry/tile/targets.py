"""The sources that take part in the fit of a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import directions, flux_density, nearest
from contimg.core.coords import cosines_to_sky, direction_cosines, separation
from contimg.core.errors import DataQualityError
from contimg.core.links import linked
from contimg.core.ms import Axes
from contimg.photometry.tile.options import FluxFitOptions

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

# `role` of a row: a source that is measured, one of the model of the field that only takes part,
# one of either farther out that does, a part of another source that the residual showed, a source
# found there, an empty place; and one that was found but is too faint in the last fit to be listed
TARGET, FIELD, OUTSIDE, COMPONENT = "target", "field", "outside", "component"
NEW, NULL = "new", "null"
UNSURE = "unsure"
_TRIES = 20  # places tried for each empty one that is wanted
_APART_WIDTHS, _REACH_WIDTHS = 3.0, 25.0  # of an empty place from a target, in beams
_CLUMP_WIDTHS = 3.0
_REACH_RAD = 0.35  # beyond it nothing is seen through the beam


def beam_response(table: pd.DataFrame, beam: PrimaryBeam, axes: Axes) -> NDArray[np.float64]:
    """Beam at the middle of the band, mean over the times: (source,)."""
    ra, dec = (np.radians(table[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    offset = separation(ra[:, None], dec[:, None], *axes.pointing_rad)
    return beam.power(offset, float(axes.freq_hz.mean())).mean(axis=1)


def united(wanted: pd.DataFrame, field: pd.DataFrame | None, limit_arcsec: float) -> pd.DataFrame:
    """Sources to measure, and those of the model of the field that are none of them.

    Columns added: `listed`, whether a source is to be measured, and `alias`, its name in the model
    of the field. It is there by the same name, or is the nearest within `limit_arcsec`.
    """
    wanted = wanted.assign(listed=True, alias=wanted["name"])
    if field is None or field.empty or wanted.empty:
        return wanted
    other = field[~field["name"].isin(wanted["name"])].reset_index(drop=True)
    distance, number = nearest(other, wanted)
    same = np.degrees(distance) * 3600 < limit_arcsec
    known = wanted["name"].isin(field["name"]).to_numpy()
    alias = wanted["alias"].to_numpy(copy=True)
    for name, k in zip(other["name"][same], number[same], strict=True):
        if not known[k]:
            alias[k], known[k] = name, True
    rest = other[~same].assign(listed=False, alias=other["name"][~same])
    return pd.concat([wanted.assign(alias=alias), rest], ignore_index=True)


def choose(
    catalog: pd.DataFrame, beam: PrimaryBeam, axes: Axes, options: FluxFitOptions
) -> pd.DataFrame:
    """Sources of the catalogue that take part; columns ``role``, ``beam`` and ``same`` added.

    Of those that are not to be measured, by a column `listed`, the apparently bright ones.
    ``same`` is the name of the row that stands for a source: another one's where two lie closer
    together than `duplicate_arcsec`. Raises :class:`DataQualityError` when there is no target.
    """
    ra, dec = (np.radians(catalog[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    near = separation(ra, dec, *axes.phase_center_rad) < _REACH_RAD
    table = catalog[near].reset_index(drop=True)
    table["spectral_index"] = table["spectral_index"].fillna(options.spectral_index)
    table["beam"] = beam_response(table, beam, axes)
    within = (table["beam"] >= options.min_beam).to_numpy()
    target = within & table.get("listed", pd.Series(True, table.index)).to_numpy(bool)
    apparent = flux_density(table, float(axes.freq_hz.mean()))[:, 0] * table["beam"]
    bright = np.nan_to_num(apparent.to_numpy()) >= options.model_min_jy
    table["role"] = np.where(target, TARGET, np.where(within, FIELD, OUTSIDE))
    table = table[target | bright].reset_index(drop=True)
    if not target.any():
        raise DataQualityError(
            f"no source of the catalogue where the primary beam is above {options.min_beam:g}"
        )
    table["same"] = _merge(table, options.duplicate_arcsec)
    return table


def _merge(table: pd.DataFrame, limit_arcsec: float) -> NDArray:
    """For each source the name of the brightest of those within the limit, itself if alone."""
    chord = 2 * np.sin(np.radians(limit_arcsec / 3600) / 2)
    pairs = _tree(table).query_pairs(chord, output_type="ndarray").reshape(-1, 2)
    label = linked(len(table), *pairs.T)
    flux = table["flux_jy"].fillna(0).to_numpy()
    order = np.lexsort((-flux, label))
    first = order[np.unique(label[order], return_index=True)[1]]
    return table["name"].to_numpy()[first[label]]


def _tree(table: pd.DataFrame) -> cKDTree:
    """The places of a table, to ask for near ones."""
    from scipy.spatial import cKDTree

    return cKDTree(directions(table))


def empty_places(
    table: pd.DataFrame, beam: PrimaryBeam, axes: Axes, width_rad: float, options: FluxFitOptions
) -> pd.DataFrame:
    """Places near the targets, at least three `width_rad` from all sources and each other.

    They lie among the targets because what the model lacks does not trouble all of the field
    alike. The same for the same table; fewer than wanted where there is no room.
    """
    rng = np.random.default_rng(20)
    number = _TRIES * options.null_targets
    near = table[table["role"] == TARGET].iloc[
        rng.integers(0, (table["role"] == TARGET).sum(), number)
    ]
    l_cos, m_cos, _ = direction_cosines(
        *np.radians(near[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T), *axes.phase_center_rad
    )
    distance = width_rad * rng.uniform(_APART_WIDTHS, _REACH_WIDTHS, number)
    angle = rng.uniform(0, 2 * np.pi, number)
    place = l_cos + distance * np.cos(angle), m_cos + distance * np.sin(angle)
    places = blank(*cosines_to_sky(*place, *axes.phase_center_rad), NULL)
    places["beam"] = beam_response(places, beam, axes)
    apart = _APART_WIDTHS * width_rad
    free = (places["beam"] >= options.min_beam) & (nearest(places, table)[0] > apart)
    places = places[free]
    pairs = _tree(places).query_pairs(apart, output_type="ndarray")
    crowded = np.zeros(len(places), bool)
    for first, second in pairs[np.lexsort(pairs.T[::-1])]:
        crowded[second] |= not crowded[first]
    places = places[~crowded].head(options.null_targets).reset_index(drop=True)
    names = [f"null {k}" for k in range(len(places))]
    return places.assign(name=names, same=names)


def without_faint(
    table: pd.DataFrame,
    flux_jy: NDArray[np.float64],
    error_jy: NDArray[np.float64],
    least_snr: float,
) -> pd.DataFrame:
    """New sources below `least_snr` become unsure: they stay in the model and are not listed.

    `flux_jy` and `error_jy` are those of the first rows of `table`.
    """
    weak = np.zeros(len(table), bool)
    weak[: flux_jy.size] = ~(flux_jy >= least_snr * error_jy)
    return table.assign(role=table["role"].mask(weak & (table["role"] == NEW), UNSURE))


def clumped(table: pd.DataFrame, width_rad: float) -> int:
    """Sources and components of the residual that have two others within three `width_rad`.

    What is larger than the beam is found as many, and so is what calibration leaves about a bright
    source.
    """
    found = table[table["role"].isin([NEW, UNSURE, COMPONENT])]
    if found.empty:
        return 0
    tree = _tree(found)
    near = tree.query_ball_point(tree.data, _CLUMP_WIDTHS * width_rad, return_length=True)
    return int((near > 2).sum())


def blank(ra_rad: NDArray, dec_rad: NDArray, role: str) -> pd.DataFrame:
    """Rows of a source table at places, without flux density or name; flat spectra of -0.7."""
    return pd.DataFrame(
        {
            "name": "",
            "ra_deg": np.degrees(ra_rad) % 360,
            "dec_deg": np.degrees(dec_rad),
            "flux_jy": 0.0,
            "ref_freq_hz": 1.4e9,
            "spectral_index": -0.7,
            "log_poly": "",
            "role": role,
            "beam": np.nan,
            "same": "",
        }
    )
