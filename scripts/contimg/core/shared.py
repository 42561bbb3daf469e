"""Words and numbers that the options of several stages share."""

from __future__ import annotations

from typing import Literal

# when the flux scale is tied to the catalogued sources around a calibrator
FieldScale = Literal["never", "needed", "always"]
# how far a calset may be from a tile that it serves, unless the options say otherwise
STALENESS_HOURS = 24.0
DEC_TOLERANCE_DEG = 0.5
