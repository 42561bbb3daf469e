"""Positions and angles as people write them."""

from __future__ import annotations

import re

from contimg.core.errors import ContimgError

# ending -> degrees
ANGLES = {
    **dict.fromkeys(("d", "deg", "°"), 1.0),
    **dict.fromkeys(("m", "arcmin", "'", "′"), 1 / 60),
    **dict.fromkeys(("s", "arcsec", '"', "″"), 1 / 3600),
}


def position(text: str) -> tuple[float, float]:
    """Right ascension and declination, ICRS [deg]; :class:`ContimgError` when it is no position.

    ``128.73 55.57`` is in degrees; with colons or letters the right ascension is in hours, unless
    it says otherwise: ``08:34:54.9 +55:34:21``, ``8h34m +55d``, ``128.73d 55.57d``.
    """
    from astropy.coordinates import SkyCoord

    words = text.replace(",", " ").strip()
    degrees = re.match(r"[+-]?\d+(\.\d*)?d", words) or not re.search("[:hms]", words)
    unit = "deg" if degrees else ("hourangle", "deg")
    try:
        if not degrees and float(re.match(r"[+-]?\d*", words)[0] or 0) >= 24:
            raise ValueError("the hours of the right ascension end at 24")
        place = SkyCoord(words, unit=unit)
    except ValueError as error:
        raise ContimgError(
            f"{text!r} is no position ({error}); write 8h34m54.9s +55d34m21s, 08:34:54.9"
            " +55:34:21 or 128.729 55.573 (degrees)"
        ) from None
    return float(place.ra.deg), float(place.dec.deg)


def angle_deg(text: str) -> float:
    """An angle with its unit [deg]: ``5m``, ``30s``, ``0.1d``, ``5arcmin``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(\S+)\s*", text)
    if match is None or match[2] not in ANGLES:
        raise ContimgError(f"{text!r} is no angle; write 5m (minutes), 30s (seconds) or 0.1d")
    return float(match[1]) * ANGLES[match[2]]
