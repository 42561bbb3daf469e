"""The reference antenna: ranked by health, always by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from calibrate.test_health import look, series
from contimg.calibrate.health import Finding
from contimg.calibrate.refant import choose, named, rank
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import Axes

N = 5


def axes() -> Axes:
    """An array whose antenna names are not their row numbers (DSA-103 stands in row 12)."""
    names = [f"DSA-{n}" for n in range(91, 91 + 3 * N)]
    positions = np.zeros((3 * N, 3))
    positions[:, 0] = np.arange(3 * N) * 10.0
    nothing = np.zeros(0)
    return Axes(
        mjd=nothing,
        integration_s=1.0,
        ant1=nothing.astype(int),
        ant2=nothing.astype(int),
        antenna_names=names,
        antenna_positions_m=positions,
        uvw_m=nothing,
        freq_hz=nothing,
        width_hz=1.0,
        phase_center_rad=(0.0, 0.0),
        pointing_rad=(nothing, nothing),
    )


def seen(**changes):
    """Five antennas (rows 0, 3, ... 12) alike in everything but their places."""
    course = np.repeat(series()[:, None], N, axis=1)
    return dataclasses.replace(look(course), **changes)


def order(look_, findings=(), prefer=()) -> list[str]:
    return [row["antenna"] for row in rank(look_, list(findings), axes(), list(prefer))]


def test_the_middle_of_the_array_comes_first():
    found = order(seen())
    assert found[0] == "DSA-97"
    assert set(found[1:3]) == {"DSA-94", "DSA-100"} and set(found[3:]) == {"DSA-91", "DSA-103"}


@pytest.mark.parametrize(
    ("quality", "value"),
    [("unflagged", 0.4), ("level", 0.4), ("level", 2.5), ("noise", 0.03)],
)
def test_each_quality_of_either_hand_counts(quality, value):
    look_ = seen()
    getattr(look_, quality)[2, 1] = value  # one correlation of the one in the middle
    assert order(look_)[0] != "DSA-97"


def test_a_wandering_phase_counts():
    look_ = seen()
    look_.course[:, 2, 0] *= np.exp(1j * np.linspace(-0.5, 0.5, look_.mjd.size))
    assert order(look_)[0] != "DSA-97"


def test_antennas_with_a_finding_are_no_references():
    assert "DSA-97" not in order(seen(), findings=[Finding(6, 1, "dead")])


def test_preferred_antennas_come_first_in_their_order_if_healthy():
    prefer = ["DSA-103", "DSA-97", "DSA-91"]
    found = order(seen(), findings=[Finding(12, 0, "dead")], prefer=prefer)
    assert found[:2] == ["DSA-97", "DSA-91"]


def test_a_bare_number_is_a_name_not_an_index():
    assert named(["103"], axes(), "DSA-", "calibrate.refant") == ["DSA-103"]
    with pytest.raises(ContimgError, match=r"calibrate\.refant: no antenna named 12"):
        named(["12"], axes(), "DSA-", "calibrate.refant")  # row 12 exists


def test_an_antenna_that_is_dead_falls_to_the_next():
    ranking = rank(seen(), [Finding(6, 0, "dead")], axes(), [])
    chosen, passed = choose(["DSA-97", "DSA-91"], ranking)
    assert chosen[0] == "DSA-91" and passed == ["DSA-97"]
    chosen, passed = choose(["DSA-97"], ranking)
    assert chosen[0] == ranking[0]["antenna"] and passed == ["DSA-97"]


def test_no_healthy_antenna_is_a_named_failure():
    everyone = [Finding(3 * n, 0, "dead") for n in range(N)]
    with pytest.raises(DataQualityError, match="no antenna responds"):
        choose([], rank(seen(), everyone, axes(), []))
