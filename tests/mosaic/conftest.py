"""What the tests of mosaics share."""

from __future__ import annotations

import pytest


@pytest.fixture
def unplotted(monkeypatch):
    """Leave the preview out where it is not what is tested."""
    monkeypatch.setattr("contimg.mosaic.command.plot_mosaic", lambda *arguments: None)
