"""``contimg ese`` on anybody's light curves, good and bad."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from contimg.cli import main
from contimg.variability.profiles import LENS, Dips, change_at, depths
from variability.known_curves import MJD0, lens_dip

TIMES = np.arange(24.0)


def search(folder, table, name="lc.csv", *flags):
    """Write `table` under `name`, search it; status and the table of sources."""
    path = folder / name
    if name.endswith(".csv"):
        table.to_csv(path, index=False)
    elif name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    else:
        form = "ascii.ecsv" if name.endswith(".ecsv") else "votable"
        Table.from_pandas(table).write(path, format=form)
    words = [f"--lightcurves={path}", f"--sources={folder}/s.csv", f"--candidates={folder}/c.csv"]
    status = main(["ese", *words, "--null-draws=100", "--threads=1", *flags])
    return status, pd.read_csv(folder / "s.csv").set_index("source") if status == 0 else None


def curves(number=10, seed=0, **special):
    """Constant daily light curves with errors of 4 %, and those of `special` relative fluxes."""
    random = np.random.default_rng(seed)
    relative = {f"J{k:02d}": np.ones(len(TIMES)) for k in range(number)} | special
    return pd.concat(
        pd.DataFrame(
            {
                "source": name,
                "mjd": MJD0 + TIMES,
                "flux_jy": 0.2 * (values + 0.04 * random.normal(size=len(TIMES))),
                "flux_err_jy": 0.008,
            }
        )
        for name, values in relative.items()
    )


@pytest.mark.parametrize("name", ["lc.csv", "lc.ecsv", "lc.parquet", "lc.vot"])
def test_every_format(tmp_path, name):
    status, sources = search(tmp_path, curves(4, ese=lens_dip(TIMES, 11.0, 6.0, 0.5)), name)
    assert status == 0
    row = sources.loc["ese"]
    assert row["is_candidate"] and row["class"] == "ese"
    assert row["depth"] == pytest.approx(0.5, abs=0.1) and row["depth_err"] > 0
    assert row["t0_mjd"] == pytest.approx(MJD0 + 11, abs=0.5)
    assert row["minimum_flux_jy"] == pytest.approx(0.1, abs=0.02)
    assert pd.read_csv(tmp_path / "c.csv")["source"].tolist() == ["ese"]


def test_bad_rows_have_reasons_and_harm_nobody(tmp_path):
    good = curves(6)
    first = good[good["source"] == "J00"]
    bad = pd.concat(
        [
            good,
            first.head(3).assign(source="few"),
            first.assign(source="negative", flux_jy=-0.2),
            first.assign(source="timeless", mjd=np.nan),
            first.assign(source="julian", mjd=2_460_000.5 + TIMES),
            first.assign(source="endless", mjd=[*TIMES[:7], *1e12 + TIMES[7:]]),
            first.assign(source="zero", flux_err_jy=0.0),
            first.assign(source="exact", flux_err_jy=1e-300),
            first.assign(source=None),
            first.head(9).assign(source=" "),
            first.assign(source="vague", flux_err_jy=1e300),
            first.assign(source="vast", flux_jy=1e300),
            first.assign(source="twice", mjd=MJD0),
            first.assign(source="limits", upper_limit=True),
            first.head(8).assign(source="clump", mjd=MJD0 + 1e-4 * np.arange(8)),
            *(first.assign(source=f"same{k}") for k in range(20)),
        ]
    )
    bad["upper_limit"] = bad["upper_limit"].eq(True)
    status, sources = search(tmp_path, bad.sample(frac=1, random_state=0), "lc.parquet")
    assert status == 0
    _, alone = search(tmp_path, good)
    assert "24 rows left out: time not an MJD" in sources.loc["julian", "reason"]
    assert "33 rows left out: no name" in sources.loc["(no name)", "reason"]
    for name in (
        *("few", "negative", "timeless", "julian", "endless", "zero", "exact", "vague"),
        *("vast", "twice", "limits", "clump"),
    ):
        assert sources.loc[name, "class"] == "not_searched"
        assert sources.loc[name, "reason"]
    assert (sources.loc[alone.index, "class"] == alone["class"]).all()
    assert sources.loc["same3", "ese_log_bayes_factor"] == pytest.approx(
        sources.loc["J00", "ese_log_bayes_factor"]
    )


def test_words_for_numbers_are_left_out(tmp_path):
    table = curves(4).astype({"flux_jy": object})
    table.loc[table["source"] == "J02", "flux_jy"] = "?"
    status, sources = search(tmp_path, table)
    assert status == 0 and "no flux density" in sources.loc["J02", "reason"]


def test_a_flare_is_not_an_event(tmp_path):
    flare = 1 + np.where(TIMES >= 8, np.exp(-(TIMES - 8) / 9), 0.0)
    _, sources = search(tmp_path, curves(20, flare=flare))
    assert sources.loc["flare", "class"] == "flare"
    assert not sources["is_candidate"].any()


def test_faint_sources_have_no_modulation_index(tmp_path):
    table = curves(4)
    faint = table["source"] == "J01"
    table.loc[faint, "flux_jy"] = 0.001 + 0.008 * np.random.default_rng(1).normal(size=faint.sum())
    _, sources = search(tmp_path, table)
    assert np.isnan(sources.loc["J01", "v"]) and np.isnan(sources.loc["J01", "m_at_vs_max"])
    assert 0 < sources.loc["J00", "v"] < 0.1


def two_bands(dip):
    """24 epochs at 1.3 and 1.7 GHz of constant sources and one with `dip` (freq) -> G."""
    random = np.random.default_rng(3)
    parts = []
    for freq in (1.3e9, 1.7e9):
        part = curves(6, seed=int(freq / 1e8), dip=dip(freq))
        part["flux_jy"] *= (freq / 1.3e9) ** -0.7
        parts.append(part.assign(freq_hz=freq))
    return pd.concat(parts).sample(frac=1, random_state=random.integers(99))


def test_colour_tells_a_lens_from_an_achromatic_dip(tmp_path):
    lens = Dips(np.array([LENS]), *(np.array([v]) for v in (6.0, 3.0, 0.0, 8.0, 11.0)))
    depth = float(depths(lens)[0])
    status, sources = search(
        tmp_path, two_bands(lambda freq: 1 + change_at(lens, depth, (1.5e9 / freq) ** 2, TIMES))
    )
    assert status == 0 and sources.loc["dip", "class"] == "ese"
    assert abs(sources.loc["dip", "colour"] - 1) < 0.5
    grey = 1 + change_at(lens, depth, 1.0, TIMES)
    _, sources = search(tmp_path, two_bands(lambda freq: grey))
    assert sources.loc["dip", "class"] == "achromatic_dip"
    assert not sources["is_candidate"].any()
    assert pd.read_csv(tmp_path / "c.csv")["class"].tolist() == ["achromatic_dip"]


def test_frequencies_that_wander_and_a_part_with_few_epochs(tmp_path):
    """Each epoch has a frequency of its own within 1 %; another part has two epochs."""
    random = np.random.default_rng(0)
    table = curves(3, ese=lens_dip(TIMES, 11.0, 6.0, 0.5))
    table["freq_hz"] = 1.4e9 * random.uniform(0.995, 1.005, len(table))
    few = table[table["mjd"] < MJD0 + 2].assign(freq_hz=3e9, flux_jy=5.0)
    status, sources = search(tmp_path, pd.concat([table, few]))
    assert status == 0
    assert sources.loc["ese", "depth"] == pytest.approx(0.5, abs=0.1)
    assert sources.loc["ese", "baseline_jy"] == pytest.approx(0.2, rel=0.1)
    assert np.isnan(sources.loc["ese", "colour"])
    assert (sources["n_epochs"] == len(TIMES)).all()


def test_wrong_tables_are_errors(tmp_path, capsys):
    assert search(tmp_path, curves(2).drop(columns="mjd"))[0] == 1
    assert "lacks the columns mjd" in capsys.readouterr().err
    assert search(tmp_path, curves(2).iloc[:0])[0] == 1
    assert "no measurement" in capsys.readouterr().err
    (tmp_path / "lc.txt").write_text("no")
    words = [f"--sources={tmp_path}/s.csv", f"--candidates={tmp_path}/c.csv"]
    assert main(["ese", f"--lightcurves={tmp_path}/lc.txt", *words]) == 1
    assert ".csv" in capsys.readouterr().err
    (tmp_path / "lc.parquet").write_text("no")
    assert main(["ese", f"--lightcurves={tmp_path}/lc.parquet", *words]) == 1
