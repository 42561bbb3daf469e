"""Do the tiles agree where they overlap? Positions and fluxes of their common sources."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from contimg.core.coords import clusters
from contimg.core.links import linked
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.sources import Sources, find_sources
from contimg.mosaic.tiles import Tile

_MIN_SOURCES = 3  # that a tile must share with others
_MIN_TILES = 3  # two that disagree accuse each other
_FLOOR_BEAMS = 0.02  # scatter of positions that noise does not explain
_FLOOR_FLUX = 0.03  # the same of fluxes (relative)

Array = NDArray[np.float64]


def compare(tiles: Sequence[Tile], options: MosaicOptions, threads: int = 1) -> None:
    """Set offset, flux ratio, their errors and the number of sources of each tile.

    Every tile gets the offset (and the factor) that brings its sources best to where the same
    sources are in the other tiles: least squares over all pairs, relative to the median of the
    connected tiles, so that a single wrong tile is told from the right ones.
    """
    if len(tiles) < _MIN_TILES:
        return
    with ThreadPoolExecutor(threads) as pool:
        found = list(
            pool.map(lambda t: find_sources(t, options.match_snr, options.pb_limit), tiles)
        )
    beam_deg = float(np.median([np.sqrt(t.beam.major_deg * t.beam.minor_deg) for t in tiles]))
    longest = max(t.beam.major_deg for t in tiles)
    tile = np.repeat(np.arange(len(tiles)), [s.snr.size for s in found])
    source = match(found, longest)
    shared = _shared(tile, source)
    tile, source = tile[shared], source[shared]
    ra, dec, flux, snr = (
        np.concatenate([getattr(s, key) for s in found])[shared]
        for key in ("ra_deg", "dec_deg", "flux_jy", "snr")
    )
    if source.size == 0:
        return
    east, north = _about_first(ra, dec, source)
    position_err = np.hypot(beam_deg / 2 / snr, _FLOOR_BEAMS * beam_deg)
    flux_err = np.hypot(1 / snr, _FLOOR_FLUX)
    solved = [
        solve_offsets(tile, source, values, errors, len(tiles))
        for values, errors in (
            (east, position_err),
            (north, position_err),
            (np.log(flux), flux_err),
        )
    ]
    for index, one in enumerate(tiles):
        count = int((tile == index).sum())
        (e, e_err), (n, _), (f, f_err) = ((v[index], s[index]) for v, s in solved)
        if count >= _MIN_SOURCES and np.isfinite([e, n, f]).all():
            one.compared_sources = count
            one.offset_arcsec = (float(e) * 3600, float(n) * 3600)
            one.offset_err_arcsec = float(e_err) * 3600
            one.flux_ratio = float(np.exp(f))
            one.flux_ratio_err = float(f_err)


def match(found: Sequence[Sources], radius_deg: float) -> NDArray[np.int64]:
    """Number of the sky source that each fitted source is; friends within `radius_deg`."""
    ra = np.radians(np.concatenate([s.ra_deg for s in found]))
    dec = np.radians(np.concatenate([s.dec_deg for s in found]))
    return clusters(ra, dec, np.radians(radius_deg))


def _shared(tile: NDArray, source: NDArray) -> NDArray[np.bool_]:
    """Sources seen in more than one tile, and only once in each."""
    if not source.size:
        return np.empty(0, bool)
    number = source.max() + 1
    seen = np.bincount(source, minlength=number)
    tiles = np.bincount(
        np.unique(source * (tile.max() + 1) + tile) // (tile.max() + 1), minlength=number
    )
    return ((tiles > 1) & (seen == tiles))[source]


def _about_first(ra: Array, dec: Array, source: NDArray) -> tuple[Array, Array]:
    """(east, north) [deg] of each position from the first one of its source."""
    _, first, inverse = np.unique(source, return_index=True, return_inverse=True)
    start = first[inverse]
    east = ((ra - ra[start] + 180) % 360 - 180) * np.cos(np.radians(dec[start]))
    return east, dec - dec[start]


def solve_offsets(
    tile: NDArray, source: NDArray, value: Array, error: Array, n_tiles: int
) -> tuple[Array, Array]:
    """Offset of each tile and its error, from value = source + offset of tile + noise.

    Sources are eliminated; values far from the fit lose weight (Huber, three sigma). Offsets are
    relative to the median of the tiles that sources connect; NaN where fewer than three are.
    """
    _, source = np.unique(source, return_inverse=True)
    weight = 1 / error**2
    offset, inverse, labels = np.zeros(n_tiles), np.zeros((n_tiles, n_tiles)), np.zeros(n_tiles)
    for _ in range(5):
        table = np.zeros((source.max() + 1, n_tiles))
        table[source, tile] = weight
        sums = table.sum(axis=1)
        mean = np.bincount(source, weight * value) / sums
        normal = np.diag(table.sum(axis=0)) - table.T @ (table / sums[:, None])
        right = np.bincount(tile, weight * (value - mean[source]), minlength=n_tiles)
        inverse = np.linalg.pinv(normal, hermitian=True, rcond=1e-9)
        offset = inverse @ right
        labels = linked(n_tiles, *np.nonzero(np.abs(normal) > 0))
        at_source = np.bincount(source, weight * (value - offset[tile])) / sums
        pull = np.abs(value - offset[tile] - at_source[source]) / error
        weight = np.minimum(1, 3 / np.maximum(pull, 1e-9)) / error**2
    result, errors = np.full(n_tiles, np.nan), np.full(n_tiles, np.nan)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if members.size >= _MIN_TILES:
            result[members] = offset[members] - np.median(offset[members])
            errors[members] = np.sqrt(np.diag(inverse)[members])
    return result, errors
