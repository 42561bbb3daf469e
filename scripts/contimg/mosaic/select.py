"""Which tiles are left out, and why: limits relative to the other tiles and to the beam."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.overrides import Decision
from contimg.mosaic.tiles import Tile


def decide(tiles: Sequence[Tile], decisions: Mapping[str, Decision]) -> None:
    """Put a person's decisions on the tiles; those for tiles that are not there are mistakes.

    A decision may name a tile by its record's stem or by its group (what comes before the first
    dot).
    """
    for name, decision in decisions.items():
        meant = [t for t in tiles if name in (t.name, t.name.split(".")[0])]
        for tile in meant:
            if tile.broken and decision[0] == "use":
                tile.broken += f" (no decision can use it: {decision[1]})"
            tile.decision = decision


def judge(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    """Add the reasons against each tile that its record, header and coarse look give."""
    present = [tile for tile in tiles if not tile.broken]
    for test in (_noise, _dynamic_range, _beam, _primary_beam):
        test(present, options)
    for tile in present:
        _calibration(tile, options)


def _noise(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    median = _median(tiles, lambda t: t.rms_jy_beam)
    for tile in tiles:
        ratio = tile.rms_jy_beam / median
        if ratio > options.max_rms_ratio:
            tile.reasons.append(
                f"noise {ratio:.3g} times the median of the tiles (limit {options.max_rms_ratio:g})"
            )


def _dynamic_range(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    for tile in tiles:
        if tile.dynamic_range < options.min_dynamic_range:  # false where it is not known
            tile.reasons.append(
                f"dynamic range {tile.dynamic_range:.3g} (limit {options.min_dynamic_range:g})"
            )


def _beam(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    median = _median(tiles, lambda t: t.beam.major_deg)
    for tile in tiles:
        ratio = tile.beam.major_deg / median
        if ratio > options.max_beam_ratio:
            tile.reasons.append(
                f"beam {ratio:.3g} times as long as the median of the tiles "
                f"(limit {options.max_beam_ratio:g})"
            )


def _primary_beam(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    for what, key in (
        ("peak", lambda t: t.pb_peak),
        ("width", lambda t: t.pb_width_deg),
    ):
        median = _median(tiles, key)
        for tile in tiles:
            difference = key(tile) / median - 1
            if abs(difference) > options.max_pb_difference:
                tile.reasons.append(
                    f"{what} of the primary beam {difference:+.0%} from the median of the tiles "
                    f"(limit {options.max_pb_difference:.0%})"
                )


def _calibration(tile: Tile, options: MosaicOptions) -> None:
    found = tile.calibration
    if "development" in found.presets and found.tier not in ("", "development"):
        tile.reasons.append(
            f"its calset {found.named} was solved with the preset development, the tile is of "
            f"tier {found.tier}"
        )
    if found.failed:
        tile.reasons.append(f"its calset {found.named} failed: {found.failed}")
    if found.dec_offset_deg is not None and found.dec_offset_deg > options.max_calset_dec_deg:
        tile.reasons.append(
            f"its calset {found.named} was observed {found.dec_offset_deg:.2f} deg away in "
            f"declination (limit {options.max_calset_dec_deg:g})"
        )


def judge_consistency(tiles: Sequence[Tile], options: MosaicOptions) -> None:
    """Add the reasons that the comparison of the tiles with each other gives.

    A difference counts when it is beyond the limit and five times its error.
    """
    for tile in tiles:
        if tile.offset_arcsec is None or tile.flux_ratio is None:
            continue
        assert tile.offset_err_arcsec is not None and tile.flux_ratio_err is not None
        beam = 3600 * np.sqrt(tile.beam.major_deg * tile.beam.minor_deg)
        offset = float(np.hypot(*tile.offset_arcsec))
        if offset > max(options.max_offset_beams * beam, 5 * tile.offset_err_arcsec):
            tile.reasons.append(
                f"its {tile.compared_sources} sources lie {offset / beam:.2f} beams from those of "
                f"the other tiles (limit {options.max_offset_beams:g})"
            )
        difference = tile.flux_ratio - 1
        if abs(difference) > max(options.max_flux_difference, 5 * tile.flux_ratio_err):
            tile.reasons.append(
                f"its flux scale is {difference:+.0%} from that of the other tiles "
                f"(limit {options.max_flux_difference:.0%})"
            )


def _median(tiles: Sequence[Tile], key: Callable[[Tile], float]) -> float:
    return float(np.median([key(tile) for tile in tiles])) if tiles else float("nan")
