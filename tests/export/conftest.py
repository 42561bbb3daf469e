"""Exports of a made-up survey, once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contimg.cli import main
from report.make_results import Survey


@pytest.fixture(scope="package")
def survey(tmp_path_factory) -> Survey:
    results = str(tmp_path_factory.mktemp("export") / "results")
    made = Survey(results, days=2, tiles=24, mosaics=4, sources=12, pixels=400)
    # the mosaics of this survey are images of twenty degrees about 45, 135 .. degrees
    made.ra[:] = np.sort(45 + made.random.uniform(-8, 8, 12))
    made.dec[:] = 55.5 + made.random.uniform(-5, 5, 12)
    return made.make()


@pytest.fixture(scope="package")
def out(survey, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    pytest.importorskip("mocpy")
    assert (
        main(
            [
                "export",
                "--results",
                survey.results,
                "--out",
                str(folder),
                "--position-error-arcsec=1.5",
            ]
        )
        == 0
    )
    return folder
