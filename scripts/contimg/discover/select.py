"""Which of the groups are wanted, and which files need not even be opened for them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from contimg.core.errors import ContimgError
from contimg.core.grouping.rejections import Rejected
from contimg.core.grouping.scan import FoundFile, name_mjd
from contimg.core.groups import Group
from contimg.core.strips import strip_deg
from contimg.core.window import utc_mjd
from contimg.discover.options import DiscoverOptions

GroupFiles = tuple[Group, list[dict]]


def select(groups: list[GroupFiles], options: DiscoverOptions) -> list[GroupFiles]:
    """The groups that the options ask for; a group's time is the one in its name."""
    if not groups:
        return []
    spans = _spans(options)
    names = [group.group for group, _ in groups]
    mjd = np.array([group_mjd(name) for name in names])
    keep = np.ones(len(groups), dtype=bool)
    if spans is not None:
        keep &= _within(mjd, spans)
    if options.groups is not None:
        keep &= np.isin(names, options.groups)
    if options.declinations_deg is not None:
        dec = np.array([strip_deg(group) for group, _ in groups])
        apart = np.abs(dec[:, None] - np.array(options.declinations_deg)[None, :])
        keep &= apart.min(axis=1, initial=np.inf) <= options.declination_margin_deg
    return [pair for pair, wanted in zip(groups, keep, strict=True) if wanted]


def check_selection(
    found: list[GroupFiles],
    kept: list[GroupFiles],
    rejected: list[Rejected],
    options: DiscoverOptions,
) -> list[str]:
    """Complain about a selection that asks for what is not there.

    Raises :class:`ContimgError` for unknown groups and when nothing is left; returns notices
    about single days and declinations that have no group.
    """
    names = {group.group for group, _ in found}
    unknown = sorted(set(options.groups or ()) - names)
    if unknown:
        why = sorted({r.reason for r in rejected if any(name in r.reason for name in unknown)})
        raise ContimgError(
            f"discover.groups: no group {', '.join(unknown)}; {'; '.join(why) or _extent(found)}"
        )
    asked = selection_text(options)
    if found and not kept:
        raise ContimgError(f"no group is left by the selection ({asked}); {_extent(found)}")
    if not found and rejected:
        return [f"no group: {len(rejected)} files rejected, the first: {rejected[0].reason}"]
    if not found and asked:
        raise ContimgError(f"no group at all within the selection ({asked})")
    notices = []
    days = {group.group[:8] for group, _ in kept}
    for day in options.days or ():
        if day.replace("-", "") not in days:
            notices.append(f"no group on {day} (discover.days)")
    dec = np.array([strip_deg(group) for group, _ in kept])
    for wanted in options.declinations_deg or ():
        if not (np.abs(dec - wanted) <= options.declination_margin_deg).any():
            notices.append(f"no group points at {wanted:g} deg (discover.declinations_deg)")
    return notices


def selection_text(options: DiscoverOptions) -> str:
    """The selection as the config keys that make it; empty when everything is wanted."""
    keys = ("days", "since", "until", "declinations_deg", "groups")
    given = ((key, getattr(options, key)) for key in keys)
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in given
        if value is not None
    )


def worth_reading(files: Sequence[FoundFile], options: DiscoverOptions) -> list[FoundFile]:
    """Files whose names do not rule them out.

    A file is rejected when its name is farther than ``max_clock_offset_s`` from its data, so
    one that is named farther than this outside the times asked for cannot be of a wanted group.
    """
    spans = _spans(options)
    if spans is None:
        return list(files)
    margin = (options.max_clock_offset_s + options.tolerance_s + 1) / 86400
    mjd = np.array([name_mjd(path) for path, *_ in files])
    keep = np.isnan(mjd) | _within(mjd, spans + np.array([-margin, margin]))
    return [file for file, wanted in zip(files, keep, strict=True) if wanted]


def group_mjd(name: str) -> float:
    """MJD UTC in a group's name."""
    year, month, day = int(name[:4]), int(name[4:6]), int(name[6:8])
    seconds = int(name[9:11]) * 3600 + int(name[11:13]) * 60 + int(name[13:15])
    return datetime.date(year, month, day).toordinal() - 678576 + seconds / 86400


def _spans(options: DiscoverOptions) -> np.ndarray | None:
    """Half-open intervals of MJD that are wanted, shape (n, 2); None for all times."""
    low = utc_mjd(options.since) if options.since is not None else -np.inf
    high = utc_mjd(options.until) if options.until is not None else np.inf
    if options.days is not None:
        starts = [utc_mjd(day) for day in options.days]
        spans = [(max(s, low), min(s + 1, high)) for s in starts]
    elif np.isfinite([low, high]).any():
        spans = [(low, high)]
    elif options.groups is not None:
        spans = [(group_mjd(name), group_mjd(name) + 0.5 / 86400) for name in options.groups]
    else:
        return None
    return np.array(spans, dtype=float).reshape(-1, 2)


def _within(mjd: np.ndarray, spans: np.ndarray) -> np.ndarray:
    keep = np.zeros(len(mjd), dtype=bool)
    # names hold whole seconds: compare those, not the last bit of an MJD
    seconds, edges = np.round(mjd * 86400, 3), np.round(spans * 86400, 3)
    for low, high in edges:
        keep |= (seconds >= low) & (seconds < high)
    return keep


def _extent(found: list[GroupFiles]) -> str:
    names = sorted(group.group for group, _ in found)
    if not names:
        return "no group was found"
    decs = sorted({round(strip_deg(group), 1) for group, _ in found})
    shown = ", ".join(f"{dec:g}" for dec in decs[:8]) + (" ..." if len(decs) > 8 else "")
    return f"there are {len(names)} groups, {names[0]} to {names[-1]}, at {shown} deg"
