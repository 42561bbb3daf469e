"""The primary beam: closed forms and what every model must satisfy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.instrument import InstrumentOptions


@pytest.fixture(params=["airy", "gaussian", "table"])
def beam(request: pytest.FixtureRequest, tmp_path: Path) -> PrimaryBeam:
    table = tmp_path / "beam.csv"
    x = np.linspace(0, 0.2, 400)
    np.savetxt(table, np.c_[x, np.exp(-((x / 0.03) ** 2))], delimiter=",", header="x, power")
    return PrimaryBeam(
        InstrumentOptions(beam_model=request.param, beam_fwhm_deg=3.0, beam_table=table)
    )


def test_unity_on_axis_and_half_at_half_width(beam: PrimaryBeam) -> None:
    for freq in (1.311e9, 1.405e9, 1.498e9):
        assert float(beam.power(0.0, freq)) == pytest.approx(1, abs=1e-6)
        half = beam.fwhm_rad(freq) / 2
        assert float(beam.power(half, freq)) == pytest.approx(0.5, abs=1e-3)


def test_a_level_is_reached_at_its_radius(beam: PrimaryBeam) -> None:
    for level in (0.05, 0.2, 0.5, 0.99):
        radius = beam.radius_rad(level, 1.4e9)
        assert float(beam.power(radius, 1.4e9)) == pytest.approx(level, rel=1e-9)
        assert radius < 1.1 * beam.fwhm_rad(1.4e9)


def test_width_scales_with_wavelength(beam: PrimaryBeam) -> None:
    low, high = beam.fwhm_rad(1.3e9), beam.fwhm_rad(1.5e9)
    assert np.sin(low / 2) / np.sin(high / 2) == pytest.approx(1.5 / 1.3, rel=5e-3)


def test_falls_within_the_main_lobe_and_never_exceeds_unity(beam: PrimaryBeam) -> None:
    angle = np.linspace(0, np.radians(2.5), 200)
    power = beam.power(angle, 1.4e9)
    assert np.all(np.diff(power) < 0)
    assert np.all((power >= 0) & (power <= 1))


def test_broadcasts(beam: PrimaryBeam) -> None:
    assert beam.power(np.zeros((4, 1)), np.full(3, 1.4e9)).shape == (4, 3)


AIRY = PrimaryBeam(InstrumentOptions())


def test_airy_has_the_width_and_null_of_a_circular_aperture() -> None:
    """FWHM 1.029 lambda/D, first null at 1.2197 lambda/D, sidelobe 1.75 % (Born & Wolf 8.5.2)."""
    ratio = C_M_S / 1.4e9 / 4.65
    assert 2 * np.sin(AIRY.fwhm_rad(1.4e9) / 2) == pytest.approx(1.029 * ratio, rel=1e-3)
    assert float(AIRY.power(np.arcsin(1.21967 * ratio), 1.4e9)) < 1e-9
    assert float(AIRY.power(np.arcsin(1.6347 * ratio), 1.4e9)) == pytest.approx(0.0175, rel=1e-3)


@settings(deadline=None)
@given(st.floats(0, 1e-4))
def test_airy_is_smooth_near_the_axis(angle: float) -> None:
    x = np.pi * 4.65 * 1.4e9 / C_M_S * np.sin(angle)
    assert float(AIRY.power(angle, 1.4e9)) == pytest.approx(1 - x**2 / 4, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0, 1.5))
def test_airy_depends_on_the_distance_only(angle: float) -> None:
    assert float(AIRY.power(-angle, 1.4e9)) == float(AIRY.power(angle, 1.4e9))


@pytest.mark.parametrize("model", ["gaussian", "table"])
def test_models_that_lack_their_numbers_are_refused(model: str) -> None:
    with pytest.raises(ValidationError, match="needs beam_"):
        InstrumentOptions(beam_model=model)
