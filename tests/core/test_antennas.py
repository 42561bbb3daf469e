"""Antenna tables: one reader, one set of rules for names."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from contimg.core.errors import ContimgError
from contimg.core.tables.antennas import antenna_key, read_positions

HERE = "-2409150.4,-4478573.1,3838617.3"
HEAD = "name,x_m,y_m,z_m"


def table(tmp_path, *lines: str, head: str = HEAD):
    path = tmp_path / "antennas.csv"
    path.write_text("\n".join([head, *lines, ""]))
    return path


@pytest.mark.parametrize("name", ["DSA-2", "DSA-002", "2", "pad 2", "pad2", " PAD_2 ", "ant2"])
def test_ways_to_write_one_antenna(name):
    assert antenna_key(name) == "2"


@pytest.mark.parametrize(
    "pair", [("DSA-2", "DSA-20"), ("ea02", "2"), ("W12", "E12"), ("DSA-2", "DSA-2b"), ("0", "DSA-")]
)
def test_other_names_are_told_apart(pair):
    assert antenna_key(pair[0]) != antenna_key(pair[1])
    assert antenna_key("ea02") == antenna_key("EA02")


def test_positions_are_matched_by_name(tmp_path):
    found = read_positions(table(tmp_path, f"DSA-002,{HERE}", f"pad 7,{HERE}"))
    assert sorted(found.match(["1", "7", "2", "9"])) == [1, 2]
    expected = [float(x) for x in HERE.split(",")]
    assert np.array_equal(found.match(["7", "2"])[0], expected)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["3", "4"], r"antennas\.csv: column name: 2 of 2 rows are no antenna .*DSA-002, pad 7"),
        (["2", "4"], r"1 of 2 rows are no antenna of the data: pad 7; the data have 2, 4"),
    ],
)
def test_rows_without_an_antenna_are_an_error(tmp_path, names, words):
    found = read_positions(table(tmp_path, f"DSA-002,{HERE}", f"pad 7,{HERE}"))
    with pytest.raises(ContimgError, match=words):
        found.match(names)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".parquet"])
def test_other_formats_and_units_of_length(tmp_path, suffix):
    x, y, z = (float(v) / 1e3 * u.km for v in HERE.split(","))
    path = tmp_path / f"antennas{suffix}"
    content = QTable({"name": ["DSA-2"], "x": [x.value] * u.km, "y_m": [y.value] * u.km})
    content["z"] = [z.value] * u.km
    content.write(path, **({"format": "votable"} if suffix == ".vot" else {}))
    found = read_positions(path).match(["002"])[0]
    assert found == pytest.approx([float(v) for v in HERE.split(",")], abs=1e-6)


@pytest.mark.parametrize(
    ("lines", "head", "words"),
    [
        ([f"2,{HERE}", f"DSA-2,{HERE}"], HEAD, r"line 2 \(2\), column name: is the name of more"),
        (["2,1,2,3"], HEAD, r"line 2 \(2\), column x_m: 3.7.* not ITRF"),
        (["2,-2409150,,3838617"], HEAD, r"column y_m: nan is not a finite"),
        (["2,-2409150,west,3838617"], HEAD, r"line 2, column y_m: 'west' is not a number"),
        ([f"2,{HERE},"], HEAD, "line 2, after column z_m: 5 values for 4 columns"),
        ([f",{HERE}"], HEAD, "line 2.*column name: is empty"),
        ([], HEAD, "holds no antenna"),
        (["2,1"], "name,x_m", "lacks the columns y_m, z_m"),
        ([f"2,{HERE}"], "name,x,y,z", "column x: has no unit.*x_m"),
    ],
)
def test_tables_that_can_not_be_are_refused(tmp_path, lines, head, words):
    with pytest.raises(ContimgError, match=words):
        read_positions(table(tmp_path, *lines, head=head))
