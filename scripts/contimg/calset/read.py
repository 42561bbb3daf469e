"""A calset as it lies on disk: its record and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.caltable import Caltable, read_caltable
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.paths import WILDCARDS, path
from contimg.core.records import read_record
from contimg.core.seals import verified


@dataclass(frozen=True)
class Calset:
    """One solved observation of a calibrator."""

    name: str
    record: dict[str, Any]  # solutions.json
    tables: dict[str, Caltable]  # in the order of application

    @property
    def data(self) -> dict[str, Any]:
        """What the solution wrote down about itself."""
        return self.record["data"]

    @property
    def antennas(self) -> list[str]:
        """Names of all antennas of the tables."""
        return self.tables["B"].names

    @property
    def correlations(self) -> list[str]:
        """Names of the two correlations of polarisation."""
        return self.data["correlations"]

    @property
    def band_mhz(self) -> tuple[float, float]:
        """Centres of the first and of the last channel of B."""
        freq = self.tables["B"].freq_hz / 1e6
        return float(freq[0]), float(freq[-1])

    def observed(self) -> list[int]:
        """Numbers of the antennas that took data: healthy when solved for, or found not to be."""
        healthy = {row["antenna"] for row in self.data["refant_ranking"]}
        known = {*healthy, *self.data["flagged"], *self.data["antennas_lost"]}
        return [n for n, name in enumerate(self.antennas) if name in known]

    def solved(self) -> np.ndarray:
        """Whether each antenna has any solution in every table, (antenna,)."""
        each = [~t.flag.all(axis=(0, 2, 3)) for t in self.tables.values()]
        return np.logical_and.reduce(each)

    def why_flagged(self, antenna: int) -> str:
        """Why an antenna has no solutions, as the solution says; empty if it does not."""
        by_correlation: dict[str, str] = self.data["flagged"].get(self.antennas[antenna], {})
        if len(set(by_correlation.values())) == 1:
            return next(iter(by_correlation.values()))
        return "; ".join(
            f"{correlation}: {reason}" for correlation, reason in by_correlation.items()
        )


def read_calset(solutions: Path) -> Calset:
    """Read the calset of a record; :class:`DataQualityError` when nothing was solved."""
    record = read_record(solutions)
    if record.get("stage") != "solve":
        raise ContimgError(f"{solutions}: not the record of a solution (solutions.json)")
    name, files = record["product"], record["data"].get("tables")
    if not files:
        raise DataQualityError(f"{solutions.parent.name} has no tables: {record['reason']}")
    if "correlations" not in record["data"]:
        raise ContimgError(f"{solutions}: of an earlier version; delete it and solve again")
    folder = solutions.parent
    tables = {k: read_caltable(verified(folder / file, solutions)) for k, file in files.items()}
    found = Calset(name=name, record=record, tables=tables)
    if found.data["refant"] not in found.antennas:
        raise DataQualityError(f"{name} has no reference antenna: {record['reason']}")
    return found


def all_solutions(results: str) -> list[Path]:
    """Records of all calsets below a results directory, in order of time."""
    every = path("solutions", ".", day="*", calset="*")
    found = sorted(Path(results).glob(every))
    if not found:
        raise ContimgError(f"{results}: no calsets ({every})")
    return found


def find_solutions(which: str, results: str) -> Path:
    """Record of a calset that a person names: its name in `results`, its folder, or the file."""
    import re

    if re.fullmatch(WILDCARDS["calset"], which):
        found = Path(path("solutions", results, calset=which))
    else:
        found = Path(which)
        if found.is_dir():
            found = found / Path(path("solutions", results, calset="20000101T000000_x")).name
    if not found.exists():
        raise ContimgError(f"{which}: no such calset ({found} not found)")
    return found
