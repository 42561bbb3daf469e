"""Tables that are read in parts give what they give when they are read at once."""

import numpy as np
import pandas as pd
import pytest

from contimg.core import parquet
from contimg.core.errors import DamagedError
from contimg.core.records import write_record
from contimg.core.rowflags import usable
from contimg.variability import tables
from contimg.variability.doubt import block_odds, doubtful
from contimg.variability.ese_command import curves_of
from contimg.variability.stored import read_curves, references, rows_of

SOURCES, EPOCHS = 40, 30


@pytest.fixture
def small_parts(monkeypatch):
    """Parts that end within a source."""
    monkeypatch.setattr(parquet, "PART_ROWS", 97)
    monkeypatch.setattr(tables, "PART_ROWS", 97)


def table() -> pd.DataFrame:
    """As ``contimg lightcurves`` writes it, with all that can be wrong with a row."""
    random = np.random.default_rng(3)
    number = SOURCES * EPOCHS
    mjd = np.tile(60000.0 + np.arange(EPOCHS) // 2 * 2, SOURCES)  # two mosaics at a time
    flux = random.uniform(0.1, 1, number)
    made = pd.DataFrame(
        {
            "source": np.repeat([f"s{k:02d}" for k in range(SOURCES)], EPOCHS),
            "mosaic": np.tile([f"m{k:02d}" for k in range(EPOCHS)], SOURCES),
            "mjd": mjd,
            "flux_norm_jy": np.where(random.uniform(size=number) < 0.05, np.nan, flux),
            "flux_norm_err_jy": random.choice(
                [0.01, 0.02, 0.0, np.nan], number, p=[0.5, 0.4, 0.05, 0.05]
            ),
            "flag": random.choice(["", "edge", "bad_fit", "edge;unnormalised"], number),
            "is_reference": np.repeat(np.arange(SOURCES) % 3 == 0, EPOCHS),
            "ra_deg": np.repeat(random.uniform(0, 30, SOURCES), EPOCHS),
            "dec_deg": np.repeat(random.uniform(15, 18, SOURCES), EPOCHS),
        }
    )
    made.loc[made["source"] == "s07", "flag"] = "bad_fit"
    made.loc[made["source"].isin(["s07", "s08"]) & (made["mjd"] < 60010), "ra_deg"] = np.nan
    return made


def written(made: pd.DataFrame, folder) -> tuple:
    made.to_parquet(folder / "lc.parquet", index=False, row_group_size=150)
    write_record(folder / "lc.json", product="lc", stage="lightcurves", data={}, verdict="pass")
    return folder / "lc.parquet", folder / "lc.json"


@pytest.mark.parametrize("shuffled", [False, True])
def test_light_curves_of_a_run(tmp_path, small_parts, shuffled):
    made = table()
    files = written(made.sample(frac=1, random_state=0) if shuffled else made, tmp_path)
    stored = read_curves(*files)
    value, error = made["flux_norm_jy"], made["flux_norm_err_jy"]
    good = made[usable(made["flag"], ["unnormalised"]) & value.notna() & (error > 0)]
    good = good.assign(odds=block_odds(doubtful(good["flag"])))
    assert [c.source for c in stored.curves] == sorted(set(made["source"]))
    for curve in stored.curves:
        rows = good[good["source"] == curve.source]
        found = curve.mjd, curve.flux, curve.error, curve.block_odds
        for column, name in zip(found, ("mjd", value.name, error.name, "odds"), strict=True):
            np.testing.assert_array_equal(column, rows[name])
    first = made.groupby("source")[["ra_deg", "dec_deg"]].first()
    pd.testing.assert_frame_equal(stored.positions, first, check_names=False)
    assert sum(len(c.mjd) == 0 for c in stored.curves) == 1


def test_rows_of_some_sources(tmp_path, small_parts):
    made = table()
    files = written(made, tmp_path)
    names = {"s03", "s39", "nobody"}
    rows = rows_of(*files, names, ["flag", "is_reference"])
    expected = made[made["source"].isin(names)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected[rows.columns], check_dtype=False)
    assert rows_of(*files, {"nobody"}, ["flag"]).empty
    assert references(*files) == set(made.loc[made["is_reference"], "source"])


def test_a_table_that_is_cut_is_damaged(tmp_path, small_parts):
    path, record = written(table(), tmp_path)
    content = bytearray(path.read_bytes())
    content[500:3000] = bytes(2500)
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read_curves(path, record)


def anybodys() -> pd.DataFrame:
    """Of many sources in no order, with names, warnings and limits of several kinds."""
    random = np.random.default_rng(4)
    made = table().rename(columns={"flux_norm_jy": "flux_jy", "flux_norm_err_jy": "flux_err_jy"})
    made["mjd"] += random.choice([0, 0.5, 2_400_000.5], len(made), p=[0.7, 0.25, 0.05])
    made["flag"] = random.choice(["", "bad", "unnormalised"], len(made), p=[0.8, 0.1, 0.1])
    made["upper_limit"] = random.choice(["true", "false"], len(made), p=[0.05, 0.95])
    made["qa_warning"] = random.uniform(size=len(made)) < 0.2
    made.loc[made["source"] == "s09", "source"] = " s08 "
    made.loc[random.uniform(size=len(made)) < 0.01, "source"] = None
    return made.sample(frac=1, random_state=1)


@pytest.mark.parametrize("name", ["lc.parquet", "lc.csv"])
def test_anybodys_light_curves(tmp_path, monkeypatch, name):
    made, path = anybodys(), tmp_path / name
    made.to_csv(path, index=False) if name.endswith("csv") else made.to_parquet(path, index=False)
    whole = tables.read_measurements(path)
    monkeypatch.setattr(parquet, "PART_ROWS", 97)
    monkeypatch.setattr(tables, "PART_ROWS", 97)
    parts = tables.read_measurements(path)
    assert parts.sources == whole.sources and parts.reasons == whole.reasons
    pd.testing.assert_frame_equal(parts.rows, whole.rows)
    assert "(no name)" in parts.sources and " s08 " not in parts.sources
    # by what is written in the table, one source after the other
    usable = made["upper_limit"].eq("false") & made["flag"].ne("bad") & made["mjd"].lt(1e5)
    usable &= made["flux_jy"].notna() & made["flux_err_jy"].gt(0) & made["source"].notna()
    clean = made[usable].assign(source=made["source"].str.strip())
    clean = clean.sort_values(["source", "mjd"], kind="stable").drop_duplicates(["source", "mjd"])
    curves, _ = curves_of(parts)
    for curve in curves:
        rows = clean[clean["source"] == curve.source]
        np.testing.assert_array_equal(curve.mjd, rows["mjd"])
        np.testing.assert_allclose(curve.flux, rows["flux_jy"], rtol=1e-14)
        np.testing.assert_allclose(curve.error, rows["flux_err_jy"], rtol=1e-14)
