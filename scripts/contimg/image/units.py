"""Flux densities as the field writes them: ``0.5mJy``."""

from __future__ import annotations

import re

_UNITS_JY = {"ujy": 1e-6, "µjy": 1e-6, "μjy": 1e-6, "mjy": 1e-3, "jy": 1.0}
_PATTERN = re.compile(
    r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-zµμ]+)\s*(?:/\s*beam)?\s*", re.IGNORECASE
)


def flux_jy(text: str) -> float:
    """A flux density in Jy; `ValueError` unless it is a positive number with uJy, mJy or Jy."""
    match = _PATTERN.fullmatch(text)
    unit = match and _UNITS_JY.get(match[2].lower())
    try:
        value = float(match[1]) * unit if match and unit else -1.0
    except ValueError:  # 1.2.3
        value = -1.0
    if value < 0:
        raise ValueError(f"{text!r} is not a flux density with its unit, such as 0.5mJy or 120uJy")
    return value
