"""Parts of the band of a run, whose epochs have colours of their own."""

import json

import numpy as np
import pandas as pd
import pytest

from contimg.core.errors import ContimgError
from contimg.variability.bands import log_colour_factor
from contimg.variability.profiles import LENS, Dips, change_at
from contimg.variability.spectral import parts_of

FREQ = np.array([1.335e9, 1.382e9, 1.429e9, 1.476e9])
TIMES, MJD0, SOURCES = np.arange(40.0), 60000.0, 20
DIP = Dips(np.array([LENS]), *(np.array([v]) for v in (20.0, 3.0, 0.0, 10.0, 20.0)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Twenty sources, the first behind a lens; parts of epochs differ by 5 %. (folder, curves)"""
    folder, random = tmp_path_factory.mktemp("photometry"), np.random.default_rng(8)
    level = 10 ** random.uniform(-1, 0, SOURCES)
    alpha = random.normal(-0.7, 0.4, SOURCES)
    lensed = np.array([1 + change_at(DIP, 0.5, (FREQ.mean() / f) ** 2, TIMES) for f in FREQ])
    curves = []
    for t, mjd in enumerate(MJD0 + TIMES):
        mosaic, gain = f"m{t:02d}", np.exp(0.1 * random.normal())
        flux = gain * level[:, None] * (FREQ / 1.4e9) ** alpha[:, None]
        flux = flux * (1 + 0.05 * random.normal(size=4))
        flux[0] *= lensed[:, t]
        error = np.repeat(level[:, None] / 50, 4, axis=1)
        flux = flux + error * random.normal(size=flux.shape)
        table = pd.DataFrame({"source": [f"s{k:02d}" for k in range(SOURCES)]})
        table["part_hz"] = [FREQ.tolist()] * SOURCES
        table["part_flux_jy"], table["part_err_jy"] = flux.tolist(), error.tolist()
        table.to_parquet(folder / f"{mosaic}.parquet")
        record = {"product": mosaic, "stage": "photometry", "verdict": "pass", "reason": ""}
        record |= {"checks": [], "data": {}, "inputs": []}
        (folder / f"{mosaic}.json").write_text(json.dumps(record))
        curve = table[["source"]].assign(mosaic=mosaic, mjd=mjd, gain=gain, flag="")
        curves.append(curve.assign(is_reference=table["source"] > "s07"))
    curves = pd.concat(curves, ignore_index=True)
    curves.loc[5, "flag"] = "bad_fit"
    return folder, curves


def test_what_differs_between_parts_of_a_constant_source_is_noise(run):
    found = parts_of(*run, {f"s{k:02d}" for k in range(SOURCES)})
    assert len(found) == SOURCES
    assert len(found["s07"].mjd) == 160 and len(found["s05"].mjd) == 156
    pulls = []
    for name in (f"s{k:02d}" for k in range(1, 8)):
        parts = found[name]
        values = pd.Series(parts.flux)
        of_epoch = values - values.groupby(parts.epoch).transform("mean")
        pulls.append(of_epoch / parts.error)
    # three of four parts are free; what references scatter errs to be large by a few per cent
    assert np.std(np.concatenate(pulls)) == pytest.approx(np.sqrt(0.75), rel=0.1)


def test_a_lens_shows_its_colour(run):
    parts = parts_of(*run, {"s00"})["s00"]
    assert parts.ref_hz == pytest.approx(FREQ.mean())
    depth = np.full(1, 0.5)
    assert log_colour_factor(parts, DIP, depth, MJD0) > 2


def test_photometry_that_is_gone_or_has_no_parts(run, tmp_path):
    folder, curves = run
    with pytest.raises(ContimgError, match="is not there"):
        parts_of(tmp_path, curves, {"s00"})
    for path in folder.glob("*.parquet"):
        pd.read_parquet(path)[["source"]].to_parquet(tmp_path / path.name)
        (tmp_path / path.with_suffix(".json").name).write_bytes(
            path.with_suffix(".json").read_bytes()
        )
    assert parts_of(tmp_path, curves, {"s00"}) == {}
    assert parts_of(folder, curves, set()) == {}
