"""Tables of antenna positions, and the rules by which antennas of two tables are one.

``DSA-2``, ``DSA-002``, ``2``, ``pad 2`` and ``ant2`` are the same antenna; names of another kind
(``ea02``, ``W12``) are compared as they are, upper and lower case alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.tables.named import read_named
from contimg.core.tables.units import Quantity

_PREFIXES = ("dsa", "dsa110", "pad", "ant", "antenna", "station")
_AXES = tuple(Quantity(axis, "m", "length") for axis in "xyz")
_EARTH_M = (6.3e6, 6.4e6)  # distance from its centre of any place where a telescope stands


@dataclass(frozen=True)
class AntennaTable:
    """Positions (ITRF, metres) by :func:`antenna_key`, and the names that the file gives them."""

    path: Path
    positions: dict[str, NDArray[np.float64]]
    names: dict[str, str]

    def unmatched(self, names: Sequence[str]) -> list[str]:
        """Names of the table that are none of `names`."""
        there = {antenna_key(name) for name in names}
        return [name for key, name in self.names.items() if key not in there]

    def match(self, names: Sequence[str]) -> dict[int, NDArray[np.float64]]:
        """Positions by index in `names`, those of the telescope's antennas.

        Raises :class:`ContimgError` for rows of the table that are none of them.
        """
        left = self.unmatched(names)
        if left:
            few = ", ".join(left[:10]) + (", .." if len(left) > 10 else "")
            raise ContimgError(
                f"{self.path}: column name: {len(left)} of {len(self.names)} rows are no antenna of"
                f" the data: {few}; the data have {', '.join(list(names)[:5])}, ..; rename or"
                " remove those rows"
            )
        keys = [antenna_key(name) for name in names]
        return {i: self.positions[key] for i, key in enumerate(keys) if key in self.positions}


def antenna_key(name: str) -> str:
    """What is the same for all ways to write an antenna's name."""
    plain = name.strip().casefold()
    found = re.fullmatch(rf"(?:(?:{'|'.join(_PREFIXES)})[\s_-]*)?0*(\d+)", plain)
    return found[1] if found else plain


def read_positions(path: str | Path) -> AntennaTable:
    """Read ``name``, ``x_m``, ``y_m``, ``z_m`` (ITRF) in any format and unit of length.

    Raises :class:`ContimgError` naming file, row, column and remedy.
    """
    table, problems = read_named(path, "name", _AXES)
    names = table["name"]
    keys = names.map(antenna_key)
    problems.rows(keys.duplicated(keep=False), "name", "is the name of more than one row")
    positions = table[[axis.column for axis in _AXES]]
    distance = np.sqrt((positions**2).sum(axis=1, skipna=False))
    off = ~distance.between(*_EARTH_M) & distance.notna()
    reason = "m from the centre of the Earth: positions are not ITRF in metres"
    problems.rows(off, "x_m", reason, distance)
    problems.refuse()
    if names.empty:
        raise ContimgError(f"{path}: holds no antenna")
    rows = dict(zip(keys, positions.to_numpy(dtype=float), strict=True))
    return AntennaTable(Path(path), rows, dict(zip(keys, names, strict=True)))
