"""Strips of simulated tiles over the sky: fluxes, positions and errors over the whole mosaic."""

from __future__ import annotations

import numpy as np
import pytest

from mosaic.strip_truth import make_strip, measure

pytestmark = pytest.mark.usefixtures("unplotted")
PULLS = []


@pytest.mark.parametrize(("ra0", "dec0"), [(150.0, 0.0), (0.0, 16.0), (201.0, 55.0)])
def test_a_strip_is_what_the_sky_is(tmp_path, ra0, dec0):
    found = measure(tmp_path, *make_strip(tmp_path, ra0, dec0))
    assert found["sources"] > 60
    assert found["ratio_median"] == pytest.approx(1, abs=0.01)
    assert abs(found["ratio_trend"]) < 0.02
    assert found["pull_pixels"] == pytest.approx(1, abs=0.05)
    assert found["offset_max_beams"] < 0.05
    PULLS.append(found["pulls_sources"])


def test_errors_of_the_sources_are_those_of_the_noise_map():
    """Over the strips above together: few sources have each a scatter of their own."""
    pulls = np.concatenate(PULLS)
    assert pulls.size > 300
    assert np.std(pulls) == pytest.approx(1, abs=3 / np.sqrt(2 * pulls.size))
    assert abs(np.mean(pulls)) < 4 / np.sqrt(pulls.size)
