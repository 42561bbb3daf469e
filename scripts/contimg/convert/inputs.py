"""What a conversion starts from: a planned group, or files that someone names."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from contimg.convert.read import Layout
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import Group, read_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.tables.antennas import read_positions

EARTH_M = 1.3e7  # no two antennas are farther apart


def group_and_entries(files, instrument: InstrumentOptions) -> tuple[Group, list[dict]]:
    """The group of ``files.manifest``, or the one that ``files.files`` form."""
    if (files.manifest is None) == (files.files is None):
        raise ContimgError("give either --manifest or --files")
    if files.manifest is not None:
        return read_manifest(files.manifest)
    return group_of_files(files.files, instrument, files.group)


def group_of_files(
    paths: list[Path], instrument: InstrumentOptions, name: str | None
) -> tuple[Group, list[dict]]:
    """Group and manifest entries of UVH5 files or of a directory, complete or not.

    The rules are those of the discovery, so that a file is never taken here that a run rejects;
    only the number of subbands and the names do not matter. Raises :class:`ContimgError` when the
    files form no group or several, of which `name` picks one.
    """
    # one definition of what a group is; this is the only place where a stage calls another one
    from contimg.core.grouping.options import GroupingOptions
    from contimg.core.grouping.scan import find_files, form_groups, read_headers

    listing, problems = [], []
    for path in paths:
        if path.is_dir():
            listing += find_files(path, problems)
            listing += [_found(file) for file in path.glob("*.uvh5")]
        elif path.exists():
            listing.append(_found(path))
        else:
            raise ContimgError(f"{path}: no such file")
    if not listing and not problems:
        raise ContimgError(f"{', '.join(map(str, paths))}: no UVH5 files (*.hdf5, *.uvh5)")
    with tempfile.TemporaryDirectory(prefix="contimg-headers-") as scratch:
        cache = Path(scratch) / "files.parquet"
        headers = read_headers(sorted(set(listing)), cache, any_name=True)
    headers["name_mjd"] = headers["name_mjd"].fillna(headers["first_mjd"])
    groups, rejected = form_groups(headers, instrument, GroupingOptions(min_subbands=1))
    reasons = "".join(f"\n  {r.path}: {r.reason}" for r in [*rejected, *problems])
    if name is not None:
        groups = [pair for pair in groups if pair[0].group == name]
    if len(groups) == 1:
        return groups[0]
    if not groups:
        raise ContimgError(f"the files form no group{f' {name}' if name else ''}{reasons}")
    found = ", ".join(group.group for group, _ in groups)
    raise ContimgError(f"the files form {len(groups)} groups; take one with --group: {found}")


def _found(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def with_positions(layout: Layout, table: Path | None) -> tuple[Layout, dict[str, float]]:
    """Positions from `table`, where it names an antenna; how far each was moved [m].

    The phases that the correlator took out belong to its own positions; what the change leaves
    behind is the same throughout a tile and at the calibrator's transit, so calibration takes it.
    Raises :class:`DataQualityError` when antennas that hold data stay without a position, or
    when two of them stand in one place; :class:`ContimgError` when `table` has rows that are no
    antenna of the data.
    """
    positions, moved = layout.antenna_positions_m.copy(), {}
    if table is not None:
        telescope = np.array([x.to_value("m") for x in layout.location.geocentric])
        for index, position in read_positions(table).match(layout.antenna_names).items():
            new = position - telescope
            distance = float(np.linalg.norm(new - positions[index]))
            name = layout.antenna_names[index]
            moved[name] = round(distance, 4) if np.isfinite(distance) else 0.0
            positions[index] = new
    with np.errstate(invalid="ignore", over="ignore"):
        lost = ~(np.linalg.norm(positions, axis=1) < EARTH_M)
    used = [layout.antenna_names[a] for a in layout.antennas if lost[a]]
    if used:
        raise DataQualityError(
            f"antennas {', '.join(used)} have data but no position; give convert.antenna_positions"
        )
    _, first, number = np.unique(
        positions[layout.antennas], axis=0, return_index=True, return_counts=True
    )
    if (number > 1).any():
        name = layout.antenna_names[layout.antennas[first[number > 1][0]]]
        raise DataQualityError(
            f"{number.max()} antennas, {name} among them, stand in one place;"
            " give convert.antenna_positions"
        )
    positions[lost] = 0.0  # stations that take no data: at the centre of the array
    return dataclasses.replace(layout, antenna_positions_m=positions), moved


def with_sidereal_uvw(layout: Layout) -> Layout:
    """Without the rows whose uvw are no baseline on Earth: the data keep the uvw of the file.

    Raises :class:`DataQualityError` when all uvw are zero.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.linalg.norm(layout.uvw_m, axis=2)
        good = length < EARTH_M
    if not (length[good] > 0).any():
        raise DataQualityError("all uvw are zero or no numbers")
    return dataclasses.replace(
        layout,
        row_of=np.where(good, layout.row_of, -1),
        uvw_m=np.where(good[..., None], layout.uvw_m, np.nan),
    )
