"""The options of the instrument."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contimg.core.instrument import InstrumentOptions


@pytest.mark.parametrize("band", [(1311250000, 1498750000), (1.31, 1.5), (1498.75, 1311.25)])
def test_a_band_in_another_unit_or_upside_down_is_named(band):
    with pytest.raises(ValidationError, match="no band in MHz, from its lower to its upper edge"):
        InstrumentOptions(band_mhz=band)
