"""What the files of a group agree on: the layout that most of them have, and who is odd.

One file with a flipped bit in its header must not make the others odd: what counts is the
majority, in rows, antennas, places and times, and in the number of samples behind an integration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg.convert.read import Layout, failure, read_layout
from contimg.core.errors import DataQualityError
from contimg.core.uvh5 import (
    READ_ERRORS,
    Header,
    HeaderError,
    geodetic,
    open_uvh5,
    read_header,
    text,
    unreadable,
)

SAME_TIME = 0.05  # times are the same if they differ by less than this part of an integration
_SAME_PLACE_M = 0.1
_SAME_LATITUDE_DEG = 1e-4
_SAME_HEIGHT_M = 1.0
_SLABS, _SLAB_ROWS = 5, 64  # of a file's samples that are looked at
_BEYOND = 2.5  # times the usual number of samples: no integration has so many


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What all files of a group have in common."""

    path: str
    times: NDArray[np.float64]  # (row,) JD
    ant_1: NDArray[np.int64]
    ant_2: NDArray[np.int64]
    polarisations: list[int]
    integration_s: float
    numbers: NDArray[np.int64]  # (antenna,)
    names: list[str]
    positions_m: NDArray[np.float64]  # (antenna, 3)
    latitude_deg: float
    longitude_deg: float
    height_m: float
    descending: bool | None  # None where frequencies are no numbers
    samples: float  # behind a complete integration; NaN where there are none


@dataclasses.dataclass(frozen=True)
class Agreed:
    """Header, layout, samples behind a complete integration; who is odd and why, by path."""

    header: Header
    layout: Layout
    samples: float
    odd: dict[str, str]


def agree(paths: Sequence[str]) -> Agreed:
    """Look at the headers of a group; :class:`DataQualityError` when none can be used."""
    odd: dict[str, str] = {}
    seen: list[_Facts] = []
    for path in paths:
        try:
            seen.append(_facts(path))
        except HeaderError as error:
            reason = failure(path, error)
            if not isinstance(reason, DataQualityError):
                raise reason from None
            odd[path] = str(reason)
    for facts in _by_majority(seen):
        try:
            header, layout = read_header(facts.path), read_layout(facts.path)
            break
        except (HeaderError, DataQualityError) as error:
            said = str(error)
            odd[facts.path] = said if facts.path in said else f"{facts.path}: {said}"
    else:
        raise DataQualityError("; ".join(odd.values()))
    usual = _usual([other.samples for other in seen])
    for other in seen:
        if other.path not in odd and (why := _difference(other, facts) or _excess(other, usual)):
            odd[other.path] = f"{other.path}: {why}"
    return Agreed(header, layout, usual, odd)


def full_count(nsamples: NDArray) -> float:
    """Samples behind a complete integration: a value that a few wrong ones do not decide.

    NaN without any. More than 2.5 times what three quarters of the integrations stay below is none.
    """
    some = nsamples[(nsamples > 0) & np.isfinite(nsamples)]
    if not some.size:
        return float("nan")
    most = _BEYOND * np.percentile(some, 75)
    return float(np.percentile(some[some <= most], 99, method="higher"))


def _usual(samples: Sequence[float]) -> float:
    """The largest count of the files that is not beyond that of most; one where none is known."""
    known = np.sort([count for count in samples if np.isfinite(count)])
    if not known.size:
        return 1.0
    return float(known[known <= _BEYOND * known[(known.size - 1) // 2]].max())


def _excess(facts: _Facts, usual: float) -> str:
    if facts.samples > _BEYOND * usual:
        return f"{facts.samples:.3g} samples an integration, the other files have {usual:.3g}"
    return ""


def _by_majority(seen: list[_Facts]) -> list[_Facts]:
    """The files, those first that are like most others; the order decides between equals."""
    kinds: list[list[_Facts]] = []
    for facts in seen:
        for kind in kinds:
            if not _difference(facts, kind[0]):
                kind.append(facts)
                break
        else:
            kinds.append([facts])
    return [facts for kind in sorted(kinds, key=len, reverse=True) for facts in kind]


def _difference(mine: _Facts, group: _Facts) -> str:
    """In what a file differs from its group; empty if in nothing."""
    if mine.polarisations != group.polarisations:
        return "polarisations differ from the group's"
    if mine.times.size != group.times.size:
        return f"{mine.times.size} rows, its group has {group.times.size}"
    late_s = float(np.abs(mine.times - group.times).max()) * 86400
    if not late_s < SAME_TIME * group.integration_s:
        return f"its times differ from its group's by up to {late_s:.3g} s"
    if not (np.array_equal(mine.ant_1, group.ant_1) and np.array_equal(mine.ant_2, group.ant_2)):
        return "the antennas of its rows differ from its group's"
    if not np.array_equal(mine.numbers, group.numbers) or mine.names != group.names:
        return "numbers or names of its antennas differ from its group's"
    if mine.positions_m.shape != group.positions_m.shape:
        return "it has positions of other antennas than its group"
    with np.errstate(invalid="ignore"):  # what is no position is judged where it is used
        apart = np.linalg.norm(np.nan_to_num(mine.positions_m - group.positions_m), axis=-1).max()
    if not apart < _SAME_PLACE_M:
        return f"its antenna positions differ from its group's by up to {apart:.3g} m"
    here, there = ((f.latitude_deg, f.longitude_deg) for f in (mine, group))
    if not np.abs(np.subtract(here, there)).max() < _SAME_LATITUDE_DEG:
        return f"the telescope is at {here} deg, in the rest of its group at {there}"
    if not abs(mine.height_m - group.height_m) < _SAME_HEIGHT_M:
        return f"the telescope is {mine.height_m:g} m high, in its group {group.height_m:g} m"
    if not abs(mine.integration_s / group.integration_s - 1) < SAME_TIME:
        return f"integrations of {mine.integration_s:g} s, in its group {group.integration_s:g} s"
    if None not in (mine.descending, group.descending) and mine.descending != group.descending:
        return "its channels run the other way round than those of its group"
    return ""


def _facts(path: str) -> _Facts:
    try:
        with open_uvh5(path) as file:
            header = file["Header"]
            latitude, longitude, height = geodetic(header)
            freq = np.ravel(header["freq_array"][()])
            return _Facts(
                path=path,
                times=header["time_array"][()].astype(float),
                ant_1=header["ant_1_array"][()],
                ant_2=header["ant_2_array"][()],
                polarisations=[int(p) for p in header["polarization_array"][()]],
                integration_s=float(np.median(np.ravel(header["integration_time"][()]))),
                numbers=header["antenna_numbers"][()],
                names=[text(name) for name in header["antenna_names"][()]],
                positions_m=header["antenna_positions"][()].astype(float),
                latitude_deg=latitude,
                longitude_deg=longitude,
                height_m=height,
                descending=bool(freq[-1] < freq[0]) if np.isfinite(freq).all() else None,
                samples=_samples(file["Data/nsamples"]),
            )
    except HeaderError:
        raise
    except READ_ERRORS as error:
        raise unreadable(error) from None


def _samples(dataset) -> float:
    """Samples behind a complete integration, from a few rows all over the file."""
    first = np.linspace(0, max(0, dataset.shape[0] - _SLAB_ROWS), _SLABS).astype(int)
    slabs = [dataset[row : row + _SLAB_ROWS] for row in sorted(set(first.tolist()))]
    return full_count(np.concatenate([slab.ravel() for slab in slabs]).astype(float))
