"""Time windows, as several commands take them."""

from __future__ import annotations

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg.core.coords import mjd_time
from contimg.core.errors import ContimgError


def parse_time(text: str) -> float:
    """MJD UTC of ``2025-10-05``, ``2025-10-05T15:24:03`` or ``60953.6``."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(Time(text.strip().replace(" ", "T").removesuffix("Z"), scale="utc").mjd)
    except ValueError:
        raise ContimgError(
            f"{text!r} is not a time; write 2025-10-05, 2025-10-05T15:24:03 or an MJD"
        ) from None


def window(since: str | None, until: str | None, days: float) -> tuple[float, float, str]:
    """(begin, end) as MJD UTC and a line that says what they are, a default included."""
    note = ""
    if until is not None:
        end = parse_time(until)
        start = end - days if since is None else parse_time(since)
    elif since is not None:
        start = parse_time(since)
        end = start + days
    else:
        end = float(Time.now().mjd)
        start = end - days
        note = " (neither --since nor --until given: up to the current time)"
    if not start < end:
        raise ContimgError(f"the window ends ({utc(end)}) before it begins ({utc(start)})")
    return start, end, f"{utc(start)} to {utc(end)} UTC{note}"


def utc(mjd: float) -> str:
    """``2025-10-05T15:24:03`` of an MJD UTC, rounded to the second."""
    return str(utc_of(np.array([mjd]))[0])


def utc_of(mjd: NDArray[np.float64]) -> NDArray[np.str_]:
    """The same of many: (n,) MJD UTC."""
    if mjd.size == 0:
        return np.array([], dtype=str)
    return mjd_time(np.round(mjd * 86400) / 86400).strftime("%Y-%m-%dT%H:%M:%S")


def utc_mjd(text: str) -> float:
    """MJD UTC of an ISO time (UTC) or of a number that is an MJD; `ValueError` when neither."""
    try:
        return parse_time(text)
    except ContimgError as error:  # pydantic turns only a ValueError into its own words
        raise ValueError(str(error)) from None
