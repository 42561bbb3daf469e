"""The table of calibrators: its rules, its listing, and its import from the VLA list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord

from contimg.calibrate.calibrators import CalibratorsFiles
from contimg.calibrate.calibrators import run as show
from contimg.calibrate.calibrators_import import ImportFiles, parse, run
from contimg.core.calibrators import may_set_scale, read_calibrators, scale_origin
from contimg.core.catalog import flux_density, scaled
from contimg.core.coords import separation
from contimg.core.errors import ContimgError

SHIPPED = Path(__file__).parents[2] / "config" / "calibrators.csv"
ROW = {
    "name": "A",
    "ra_deg": 10.0,
    "dec_deg": 20.0,
    "flux_jy": 5.0,
    "ref_freq_hz": 1.4e9,
    "spectral_index": -0.7,
    "role": "flux",
    "variable": "",
    "scale": "",
}


def table(tmp_path: Path, *rows: dict) -> Path:
    path = tmp_path / "calibrators.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("row", "allowed", "why"),
    [
        ({}, True, "flux calibrator"),
        ({"flux_jy": None}, False, "no flux density"),
        ({"spectral_index": None, "flux_jy": None, "role": "bandpass"}, False, "no flux density"),
        ({"role": "bandpass"}, False, "role is bandpass"),
        ({"role": "phase"}, False, "role is phase"),
        ({"role": "bandpass", "scale": "yes"}, True, "scale = yes"),
        ({"variable": "blazar"}, False, "variable"),
        ({"variable": "blazar", "scale": "yes"}, True, "scale = yes"),
        ({"scale": "no"}, False, "scale = no"),
    ],
)
def test_who_may_set_the_scale(tmp_path, row, allowed, why):
    found = read_calibrators(table(tmp_path, ROW | row))
    for form in (found.iloc[0], next(found.itertuples())):
        answer, reason = may_set_scale(form)
        assert answer is allowed
        assert why in reason


@pytest.mark.parametrize(
    ("row", "never", "needed", "always"),
    [
        ({}, "calibrator", "calibrator", "field"),
        ({"flux_jy": None}, "", "", ""),
        ({"role": "bandpass"}, "", "field", "field"),
        ({"role": "phase"}, "", "", ""),
        ({"variable": "blazar"}, "", "field", "field"),
        ({"variable": "blazar", "scale": "yes"}, "calibrator", "calibrator", "field"),
        ({"scale": "no"}, "", "field", "field"),
    ],
)
def test_what_sets_the_scale(tmp_path, row, never, needed, always):
    found = read_calibrators(table(tmp_path, ROW | row)).iloc[0]
    answers = {when: scale_origin(found, when) for when in ("never", "needed", "always")}
    assert {when: origin for when, (origin, _) in answers.items()} == {
        "never": never,
        "needed": needed,
        "always": always,
    }
    if never != "calibrator":
        assert answers["needed"][1] == may_set_scale(found)[1]


def test_scaled_sources_are_as_many_times_as_bright_at_all_frequencies(tmp_path):
    power_law = ROW | {"log_poly": ""}
    polynomial = ROW | {"name": "B", "ra_deg": 50.0, "log_poly": "1.2 -0.4 -0.1"}
    found = read_calibrators(table(tmp_path, power_law, polynomial))
    freq = np.array([1.3e9, 1.4e9, 1.5e9])
    ratio = flux_density(scaled(found, 0.7), freq) / flux_density(found, freq)
    assert ratio == pytest.approx(0.7, rel=1e-12)


def test_a_plain_source_table_is_one_of_flux_calibrators(tmp_path):
    plain = {k: v for k, v in ROW.items() if k not in ("role", "variable", "scale")}
    row = read_calibrators(table(tmp_path, plain)).iloc[0]
    assert may_set_scale(row) == (True, "flux calibrator")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW | {"role": "primary"}], r"line 2 \(A\), column role: 'primary' is an unknown role"),
        (
            [ROW | {"role": None}, ROW | {"name": "B", "ra_deg": 1.0}],
            r"\(A\), column role: '' is an unknown role",
        ),
        ([ROW | {"scale": "perhaps"}], r"\(A\), column scale: 'perhaps' is neither"),
        (
            [ROW | {"scale": "yes", "flux_jy": None}],
            r"\(A\), column scale: is yes but there is no flux density",
        ),
        ([ROW | {"flux_jy": -1}], "not positive"),
        ([ROW | {"flux_jy": np.inf}], "infinite"),
        ([ROW | {"ref_freq_hz": 1.4}], "name the column ref_freq_ghz"),
        ([ROW | {"spectral_index": None}], "spectral index"),
        ([ROW | {"ra_deg": -10}], "not in 0..360"),
        (
            [ROW, ROW | {"name": "B", "ra_deg": 10.01, "dec_deg": 20.01}],
            r"line 3 \(B\), column ra_deg: is 4.* arcsec from A",
        ),
        ([ROW | {"ra_deg": 0.001}, ROW | {"name": "B", "ra_deg": 359.999}], "arcsec from A"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, rows, words):
    with pytest.raises(ContimgError, match=words):
        read_calibrators(table(tmp_path, *rows))


def test_shipped_table():
    found = read_calibrators(SHIPPED).set_index("name", drop=False)
    assert (found["source"] != "").all()
    allowed = {name for name, row in found.iterrows() if may_set_scale(row)[0]}
    assert {"3C48", "3C147", "3C286", "3C295", "0834+555", "0702+445"} <= allowed
    assert not {"3C454.3", "3C123"} & allowed
    assert may_set_scale(found.loc["3C454.3"])[1].startswith("variable")
    flux = dict(zip(found["name"], flux_density(found, 1.405e9)[:, 0], strict=True))
    assert flux["0834+555"] == pytest.approx(8.80)
    assert flux["0702+445"] == pytest.approx(2.40)
    assert flux["3C147"] == pytest.approx(22.1, abs=0.1)


@pytest.mark.parametrize(
    ("name", "place"),
    [  # positions of the ICRF and of the VLA list
        ("3C286", "13h31m08.287984s +30d30m32.95885s"),
        ("3C48", "01h37m41.299431s +33d09m35.13299s"),
        ("3C147", "05h42m36.137916s +49d51m07.23356s"),
        ("3C138", "05h21m09.886021s +16d38m22.05122s"),
        ("3C454.3", "22h53m57.747932s +16d08m53.56089s"),
        ("0834+555", "08h34m54.904117s +55d34m21.07098s"),
        ("0702+445", "07h02m53.6790s +44d31m11.940s"),
    ],
)
def test_shipped_positions(name, place):
    row = read_calibrators(SHIPPED).set_index("name").loc[name]
    there = SkyCoord(place)
    away = separation(*np.radians([row["ra_deg"], row["dec_deg"]]), there.ra.rad, there.dec.rad)
    assert np.degrees(away) * 3600 < 1e-3


def test_list_says_who_sets_the_scale(tmp_path, capsys):
    show(CalibratorsFiles(calibrators=table(tmp_path, ROW, ROW | {"name": "B", "ra_deg": 9})))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "flux calibrator" in lines[1]


HEAD = """\
IAU NAME EQUINOX  PC RA(hh,mm,ss)    DEC(ddd,mm,ss)   POS.REF ALT.NAME
===================================================================

"""
RULE = """\
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
"""


def block(j2000: str, b1950: str, *bands: str) -> str:
    return "\n".join([j2000, b1950, RULE.rstrip(), *bands, " ", ""])


STRONG = block(
    "0834+555   J2000  A 08h34m54.904117s  55d34'21.070980\"  Aug01         ",
    "0831+557   B1950  A 08h31m04.379700s  55d44'41.323000\"",
    " 90cm    P  S S S S          9",
    " 20cm L  S P P P       8.80                      100   visplot",
    "  6cm    C  X S P P       5.60                      100",
    "0.7cm    Q  W W W W       0.3",
)
SOUTHERN = block(
    "0006-000   J2000  T 00h06m22.6338s   -00d04'24.086\"            3C2",
    "0003-003   B1950  T 00h03m48.8700s   -00d21'06.000\"",
    " 90cm    P  X X S S         12                        3",
    " 20cm    L  X X X S        3.8                        3",
)
INNER = block(
    "0735+331   J2000  B 07h35m55.5660s    33d07'09.410\"     Nov01  JVAS  ",
    "0732+332   B1950  B 07h32m41.7970s    33d13'50.190\"",
    " 20cm    L  W W W W       2.40            6          50",
)
FAINT = block(
    "0009+064   J2000  B 00h09m03.9327s    06d28'21.238\"     May01  JVAS  ",
    "0006+061   B1950  B 00h06m29.9119s    06d11'39.692\"",
    "0.7cm    Q  W W W W       0.32",
)


def imported(tmp_path: Path, text: str, **limits) -> pd.DataFrame:
    path = tmp_path / "list.txt"
    path.write_text(HEAD + text)
    files = ImportFiles(vla_list=path, table=tmp_path / "out.csv", **limits)
    run(files)
    return read_calibrators(files.table).set_index("name")


def test_import(tmp_path, capsys):
    found = imported(tmp_path, FAINT + SOUTHERN + STRONG)
    assert list(found.index) == ["0834+555"]  # 0006-000 has code X in configuration C
    row = found.loc["0834+555"]
    shipped = read_calibrators(SHIPPED).set_index("name").loc["0834+555"]
    assert row["ra_deg"] == pytest.approx(shipped["ra_deg"], abs=1e-8)
    assert row["dec_deg"] == pytest.approx(shipped["dec_deg"], abs=1e-8)
    assert row["flux_jy"] == 8.8
    assert row["spectral_index"] == pytest.approx(-0.2, abs=0.02)
    assert row["spectral_index_from"] == "90cm 20cm 6cm"
    assert (row["codes_20cm"], row["codes_6cm"], row["flux_6cm_jy"]) == ("SPPP", "XSPP", 5.6)
    assert np.isnan(row["uv_min_klambda"]) and row["uv_max_klambda"] == 100
    assert (row["position_code"], row["position_error_arcsec"]) == ("A", 0.002)
    assert row["role"] == "bandpass"  # a list does not make a flux calibrator, a person does
    out = capsys.readouterr().out
    assert "1 left out: without a flux density at 20 cm" in out
    assert "1 left out: not fit for configuration C" in out
    assert "1 of 3 sources" in out


def test_import_of_a_position_just_south_of_the_equator(tmp_path):
    row = imported(tmp_path, SOUTHERN, configuration="D").loc["0006-000"]
    assert row["dec_deg"] == pytest.approx(-(4 / 60 + 24.086 / 3600), abs=1e-8)
    assert row["uv_max_klambda"] == 3
    assert row["remarks"] == "3C2"
    assert np.isnan(row["position_error_arcsec"])
    assert row["spectral_index"] == pytest.approx(
        np.log(12 / 3.8) / np.log(0.3275 / 1.405), abs=1e-3
    )


def test_import_never_assumes_a_spectrum_unasked(tmp_path):
    with pytest.raises(ContimgError, match="none of 1 sources"):
        imported(tmp_path, INNER)
    row = imported(tmp_path, INNER, assumed_spectral_index=-0.7).loc["0735+331"]
    assert (row["spectral_index"], row["spectral_index_from"]) == (-0.7, "assumed")
    assert (row["role"], row["uv_min_klambda"], row["uv_max_klambda"]) == ("phase", 6, 50)


def test_import_limits(tmp_path):
    both = SOUTHERN + STRONG
    for limits in ({"min_flux_jy": 5}, {"dec_min_deg": 10}):
        found = imported(tmp_path, both, configuration="D", **limits)
        assert list(found.index) == ["0834+555"]
    found = imported(tmp_path, both, configuration="D", dec_max_deg=10)
    assert list(found.index) == ["0006-000"]


def without(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (without(STRONG, "08h34m54.904117s", "08h74m54.904117s"), "line 4: 0834+555: not a posi"),
        (without(STRONG, "55d34'21", "35d34'21"), "line 4: 0834+555: the name does not fit"),
        (without(STRONG, "  A 08h", "    08h"), "line 4: 0834+555: no position code"),
        (without(STRONG, "0834+555 ", "0834+5555"), "line 4: 0834+5555: the name"),
        (without(STRONG, "8.80", "8,80"), "line 10: 0834+555: "),
        (without(STRONG, "8.80", "-8.8"), "line 10: 0834+555: not a row of a band"),
        (without(STRONG, "8.80", "nan "), "line 10: 0834+555: not a row of a band"),
        (without(STRONG, "S P P P", "S P P  "), "line 10: 0834+555: not a row of a band"),
        (without(STRONG, "  6cm    C", " 20cm    L"), "line 11: 0834+555: a second row of 20cm"),
        (STRONG + STRONG, "line 14: 0834+555 is already at line 4"),
        (STRONG + "Comments follow.\n", "line 14: not understood: 'Comments follow.'"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_line(text, words):
    entries, problems = parse((HEAD + text + SOUTHERN).splitlines())
    assert len(problems) == 1 and problems[0].startswith(words)
    south = next(e for e in entries if e.name == "0006-000")
    assert south.flux_jy == {"90cm": 12, "20cm": 3.8}  # what follows is not harmed
    good = {e.name: e.flux_jy for e in entries}.get("0834+555", {})
    assert good.get("20cm", 8.8) == 8.8


def test_rows_of_a_bad_block_do_not_go_to_the_source_before():
    bad = without(STRONG, "55d34'21", "95d34'21")
    entries, problems = parse((HEAD + FAINT + bad).splitlines())
    assert [e.flux_jy for e in entries] == [{"0.7cm": 0.32}]
    assert len(problems) == 1


@pytest.mark.parametrize("content", [b"", b"name,ra_deg\n3C286,202\n", b"\xff\xfe\x00"])
def test_a_file_that_is_not_the_list_is_an_error(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ContimgError, match=r"list\.txt"):
        run(ImportFiles(vla_list=path, table=tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()
