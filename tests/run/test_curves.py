"""A crashed job of one mosaic leaves the light curves of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from contimg.config import read_config
from contimg.core.paths import path
from contimg.core.records import read_record
from contimg.run.curves import light_curves_of_what_there_is
from variability.known_curves import grid, write_photometry


def test_light_curves_are_of_the_mosaics_there_are(tmp_path):
    results = str(tmp_path)
    config = read_config({"results": results, "catalog": "sky.csv"})
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"mosaics": {f"m{k:03d}": {} for k in range(6)}}))
    assert not light_curves_of_what_there_is(config, str(plan))  # of nothing
    made, *_ = grid(40, 5, seed=1)  # the sixth crashed
    write_photometry(tmp_path / "photometry", made)
    assert light_curves_of_what_there_is(config, str(plan))
    table = pd.read_parquet(path("lightcurves", results))
    assert sorted(table["mosaic"].unique()) == [f"m{k:03d}" for k in range(5)]
    record = read_record(path("lightcurves_record", results))
    assert record["verdict"] != "fail" and "lightcurves.parquet" in record["seal"]["products"]
    assert not light_curves_of_what_there_is(config, str(plan))  # nothing has changed
    assert Path(path("log", results, rule="normalise_lightcurves", job="lightcurves")).exists()
