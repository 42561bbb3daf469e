"""Tables are checked when a run is planned, not in its first solve."""

from __future__ import annotations

from pathlib import Path

import pytest

from contimg.config import read_config
from contimg.core.errors import ContimgError
from contimg.run.tables import check_tables

HEAD = "name,ra_deg,dec_deg,flux_jy,ref_freq_hz,spectral_index\n"
GOOD = HEAD + "A,10,20,1,1.4e9,-0.7\n"
EXPECTED = (
    "source,ra,dec_deg,flux_mjy,flux_tolerance,position_tolerance_arcsec\nA,1:2:3,20,5,0.1,3\n"
)
PLACE = "-2409150.4,-4478573.1,3838617.3"


@pytest.fixture
def named(tmp_path):
    """A config whose four tables are right, and their paths."""
    tables = {
        name: tmp_path / f"{name}.csv"
        for name in ("catalog", "calibrators", "positions", "expected")
    }
    for name in ("catalog", "calibrators"):
        tables[name].write_text(GOOD)
    tables["positions"].write_text(f"name,x_m,y_m,z_m\nDSA-2,{PLACE}\n")
    tables["expected"].write_text(EXPECTED)
    config = read_config(
        {
            "results": str(tmp_path / "results"),
            "catalog": str(tables["catalog"]),
            "plan": {"calibrators": tables["calibrators"]},
            "convert": {"antenna_positions": tables["positions"]},
            "check": {"expected": tables["expected"]},
        }
    )
    return config, tables


def test_right_tables_pass(named):
    check_tables(named[0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("catalog", GOOD.replace("1.4e9", "1400"), "column ref_freq_hz: 1400 Hz"),
        ("catalog", GOOD.replace("20,1,", "20,1000,"), "column flux_jy: the median"),
        ("catalog", None, "table not found"),
        ("calibrators", GOOD.replace("10,20", "10,95"), "column dec_deg: 95"),
        ("calibrators", GOOD.replace("1,1.4e9", "-1,1.4e9"), "column flux_jy: -1 Jy"),
        ("positions", f"name,x_m,y_m,z_m\nDSA-2,{PLACE},\n", "5 values for 4 columns"),
        (
            "expected",
            EXPECTED.replace("0.1", "0"),
            r"\(A\), column flux_tolerance: 0 is not",
        ),
        ("expected", EXPECTED.replace("flux_mjy", "f"), "lacks the columns flux_jy"),
    ],
)
def test_each_wrong_table_is_named(named, name, content, words):
    config, tables = named
    if content is None:
        tables[name].unlink()
    else:
        tables[name].write_text(content)
    with pytest.raises(ContimgError, match=words) as error:
        check_tables(config)
    assert str(error.value).startswith(str(tables[name]))


def test_the_catalogue_of_a_simulated_sky_is_made_by_the_run(named, tmp_path):
    config, _ = named
    sky = Path(config.results) / "simulated" / "catalog.csv"
    content = config.model_dump(exclude={"field_model", "targets"}) | {"catalog": str(sky)}
    with pytest.raises(ContimgError, match=r"catalog\.csv: table not found"):
        check_tables(read_config(content))
    content["simulate"]["enabled"] = True
    check_tables(read_config(content))
    sky.parent.mkdir(parents=True)
    sky.write_text(GOOD.replace("1.4e9", "1.4"))
    with pytest.raises(ContimgError, match="ref_freq_ghz"):
        check_tables(read_config(content))
