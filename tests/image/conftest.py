"""One small tile, and the same with other skies."""

from __future__ import annotations

import pytest

from truth.observe import converted, observe
from truth.tiles import SIMULATE


@pytest.fixture(scope="session")
def tile(tmp_path_factory):
    """(MS, source, directory) of a noisy observation by an otherwise perfect instrument."""
    directory = tmp_path_factory.mktemp("tile")
    _, sky, manifest = observe(directory, east_deg=0.4, north_deg=0.25, simulate=SIMULATE)
    return converted(directory, manifest), sky.iloc[0], directory
