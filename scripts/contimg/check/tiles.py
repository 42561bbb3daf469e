"""The images of all tiles in a results directory, as their records tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.records import read_record


@dataclass(frozen=True)
class Tile:
    """One image: its name, the verdict on it, and ``data`` and ``parameters`` of its record."""

    name: str
    data: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def mjd(self) -> float:
        """Mean time of the data."""
        return float(self.data["mjd"])


def records_of(paths: Sequence[Path], tier: str) -> list[Path]:
    """Records of images of a tier: those named, and all below the directories named, in order."""
    found = [
        record
        for path in paths
        for record in (path.glob(f"*/*/*.{tier}.json") if path.is_dir() else [path])
    ]
    if not found:
        raise ContimgError(f"{', '.join(map(str, paths))}: no images of the tier {tier}")
    return sorted(set(found))


def read_tiles(records: Sequence[Path]) -> tuple[list[Tile], dict[str, str]]:
    """Tiles that were imaged and held against a catalogue; why others are left out, by name."""
    tiles, left_out = [], {}
    for path in records:
        name = path.name.split(".")[0]
        try:
            content = read_record(path)
        except DataQualityError as error:
            left_out[name] = str(error)
            continue
        if content["verdict"] == "fail":
            left_out[name] = f"failed: {content['reason']}"
        elif "validation" not in content["data"] or not content["data"].get("s_region"):
            left_out[name] = "its record has no comparison with a catalogue; make the image again"
        else:
            tiles.append(Tile(name, content["data"], content["parameters"]))
    return sorted(tiles, key=lambda tile: (tile.mjd, tile.name)), left_out
