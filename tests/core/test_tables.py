"""Tables as people bring them: units, sixtieths, coordinates; and those that must be refused."""

from __future__ import annotations

import base64
import struct
import tracemalloc
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table

from contimg.core.catalog import read_sources
from contimg.core.errors import ContimgError
from contimg.core.tables.formats import read_content

HEAD = "name,ra_deg,dec_deg,flux_jy,ref_freq_hz,spectral_index"
PLACES = SkyCoord(
    ["13h31m08.287984s +30d30m32.95885s", "01h37m41.299431s -33d09m35.13299s"], frame="icrs"
)
FORMATS = [".ecsv", ".fits", ".vot", ".parquet"]


def text(tmp_path: Path, *lines: str, name: str = "s.csv", head: str = HEAD) -> Path:
    path = tmp_path / name
    path.write_text("\n".join([head, *lines, ""]))
    return path


def written(tmp_path: Path, table: Table, suffix: str) -> Path:
    path = tmp_path / f"s{suffix}"
    table.write(path, **({"format": "votable"} if suffix == ".vot" else {}))
    return path


def right(table: pd.DataFrame) -> None:
    """The table is that of PLACES, 14.65 and 0.5 Jy at 1.465 GHz."""
    assert table["ra_deg"].to_numpy() == pytest.approx(PLACES.ra.deg, abs=1e-8)
    assert table["dec_deg"].to_numpy() == pytest.approx(PLACES.dec.deg, abs=1e-8)
    assert table["flux_jy"].to_numpy() == pytest.approx([14.65, 0.5], rel=1e-12)
    assert table["ref_freq_hz"].to_numpy() == pytest.approx(1.465e9, rel=1e-12)
    assert list(table["name"]) == ["A", "B"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("quantities", [False, True])
def test_units_that_a_file_declares_are_converted(tmp_path, suffix, quantities):
    table = (QTable if quantities else Table)(
        {
            "name": ["A", "B"],
            "ra_deg": PLACES.ra.to("rad" if suffix == ".fits" else "hourangle"),
            "dec": PLACES.dec.to("rad"),
            "flux_jy": [14650.0, 500.0] * u.mJy,
            "ref_freq_hz": [1465.0, 1465.0] * u.MHz,
            "spectral_index": [-0.5, -0.7],
            "major": [1.0, 0.0] * u.arcmin,
            "minor": [0.5, 0.0] * u.arcmin,
        }
    )
    found = read_sources(written(tmp_path, table, suffix))
    right(found)
    assert list(found["major_arcsec"]) == pytest.approx([60, 0])


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".parquet"])
@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_coordinates_become_right_ascension_and_declination(tmp_path, suffix, frame):
    table = QTable(
        {
            "name": ["A", "B"],
            "position": PLACES.transform_to(frame),
            "flux": [14.65, 0.5] * u.Jy,
            "ref_freq": [1.465, 1.465] * u.GHz,
            "spectral_index": [-0.5, -0.7],
        }
    )
    right(read_sources(written(tmp_path, table, suffix)))


def test_coordinates_in_a_votable(tmp_path):
    """Astropy can write them there only as two columns."""
    from astropy.table.serialize import represent_mixins_as_columns

    table = QTable({"name": ["A", "B"], "position": PLACES, "flux": [14.65, 0.5] * u.Jy})
    table["ref_freq"], table["spectral_index"] = [1.465, 1.465] * u.GHz, [-0.5, -0.7]
    right(read_sources(written(tmp_path, represent_mixins_as_columns(table), ".vot")))


def test_coordinates_in_another_frame_are_not_misread(tmp_path):
    """Without what astropy adds, l and b are not taken for right ascension and declination."""
    path = tmp_path / "s.parquet"
    rows = {"position.l": [1.0], "position.b": [2.0], "name": "A", "flux_jy": 1.0}
    pd.DataFrame(rows | {"ref_freq_hz": 1.4e9, "spectral_index": 0.0}).to_parquet(path)
    with pytest.raises(ContimgError, match="lacks the columns ra_deg, dec_deg"):
        read_sources(path)


@pytest.mark.parametrize(
    ("ra", "dec", "rows"),
    [
        ("ra", "dec", PLACES.to_string("hmsdms", sep=":", precision=8)),
        ("ra_hms", "dec_dms", PLACES.to_string("hmsdms", sep=":", precision=8)),
        ("ra_deg", "dec_deg", PLACES.to_string("hmsdms", precision=8)),  # letters tell
        ("RA", "DEC", PLACES.to_string("hmsdms", sep=":", precision=8)),
        ("ra_rad", "dec_rad", [f"{c.ra.rad:.14g} {c.dec.rad:.14g}" for c in PLACES]),
        ("ra_hourangle", "dec_deg", [f"{c.ra.hour:.14g} {c.dec.deg:.14g}" for c in PLACES]),
        (
            "ra [hourangle]",
            "dec (arcmin)",
            [f"{c.ra.hour:.14g} {c.dec.arcmin:.14g}" for c in PLACES],
        ),
    ],
)
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_text_takes_units_from_the_names_of_columns(tmp_path, ra, dec, rows, comma):
    head = comma.join(["name", ra, dec, "flux_mJy", "ref_freq_GHz", "spectral_index"])
    lines = [
        comma.join([name, *place.split(), flux, "1.465", "-0.5"])
        for name, place, flux in zip("AB", rows, ["14650", "500"], strict=True)
    ]
    right(read_sources(text(tmp_path, *lines, head=head)))


def test_tab_separated_table_with_units_and_dashes(tmp_path):
    head = "#RESOURCE=x\nname\tra\tdec\tflux\tref_freq\tspectral_index"
    lines = [
        '\t"h:m:s"\t"d:m:s"\tmJy\tMHz\t',
        "--\t----\t----\t----\t----\t---",
        "A\t13 31 08.287984\t+30 30 32.95885\t14650\t1465\t-0.5",
        "B\t01 37 41.299431\t-33 09 35.13299\t500\t1465\t-0.5",
    ]
    right(read_sources(text(tmp_path, *lines, name="s.tsv", head=head)))


def test_text_that_declares_units_is_not_read_without_them(tmp_path):
    """ECSV under the name of CSV: its header looks like comment."""
    table = Table({"name": ["A"], "ra_deg": [1.0], "dec_deg": [2.0], "spectral_index": [0.0]})
    table["flux_jy"] = [14650.0] * u.mJy
    table["ref_freq_hz"] = [1.4] * u.GHz
    table.write(tmp_path / "s.ecsv")
    (tmp_path / "s.ecsv").rename(tmp_path / "s.csv")
    row = read_sources(tmp_path / "s.csv").iloc[0]
    assert (row["flux_jy"], row["ref_freq_hz"]) == pytest.approx((14.65, 1.4e9))


def test_a_declination_just_south_of_the_equator_keeps_its_sign(tmp_path):
    head = HEAD.replace("ra_deg,dec_deg", "ra,dec")
    found = read_sources(text(tmp_path, "A,00:00:01,-00:04:00,1,1.4e9,0", head=head))
    assert found["dec_deg"][0] == pytest.approx(-4 / 60)


GOOD = "A,10,20,1,1.4e9,-0.7"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("B,10,20,1,1400,-0.7", r"line 3 \(B\), column ref_freq_hz: 1400 Hz .* ref_freq_mhz"),
        ("B,10,20,1,1.4,-0.7", r"line 3 \(B\), column ref_freq_hz: 1.4 Hz .* ref_freq_ghz"),
        ("B,10,20,1,0,-0.7", r"column ref_freq_hz: 0 Hz"),
        ("B,10,20,1,-1.4e9,-0.7", r"column ref_freq_hz: -1400000000 Hz is not between"),
        ("B,10,95,1,1.4e9,-0.7", r"line 3 \(B\), column dec_deg: 95 is not in -90..90"),
        ("B,370,20,1,1.4e9,-0.7", r"column ra_deg: 370 is not in 0..360"),
        ("B,inf,20,1,1.4e9,-0.7", r"column ra_deg: inf is not in"),
        ("B,,20,1,1.4e9,-0.7", r"column ra_deg: is empty; no position"),
        ("A,11,20,1,1.4e9,-0.7", r"line 2 \(A\), column name: is the name of more than one"),
        (",11,20,1,1.4e9,-0.7", r"line 3, column name: is empty"),
        ("nan,11,20,1,1.4e9,-0.7", r"line 3, column name: is empty"),
        ("B,11,20,inf,1.4e9,-0.7", r"line 3 \(B\), column flux_jy: is infinite"),
        ("B,11,20,-5,1.4e9,-0.7", r"line 3 \(B\), column flux_jy: -5 Jy is not positive"),
        ("B,11,20,1.2.3,1.4e9,-0.7", r"line 3, column flux_jy: '1.2.3' is not a number"),
        ("B,11,20,1,1.4e9,-70", r"column spectral_index: -70 is beyond"),
        ("B,11,20,1,1.4e9,-0.7,", r"line 3, after column spectral_index: 7 values for 6 .*remove"),
        ("B,11,20,1,1.4e9", r"line 3, after column ref_freq_hz: 5 values for 6 columns"),
        ("B,11,20,1,5,1.4e9,-0.7", r"line 3, .* 7 values for 6 columns.*quote"),
        ("B,13:31:08,20,1,1.4e9,-0.7", r"line 3, column ra_deg: .* may be of hours or of degrees"),
        ("B,11,20:61:00,1,1.4e9,-0.7", r"column dec_deg: '20:61:00' has more than 59 minutes"),
        ("B,11,20h30m00s,1,1.4e9,-0.7", r"column dec_deg: '20h30m00s' is in hours"),
    ],
)
def test_what_can_not_be_is_named_with_its_place(tmp_path, line, words):
    with pytest.raises(ContimgError, match=words) as error:
        read_sources(text(tmp_path, GOOD, line))
    assert str(error.value).startswith(f"{tmp_path / 's.csv'}: ")


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_of_other_formats_are_named_too(tmp_path, suffix):
    rows = {"name": ["A", "B"], "ra_deg": [1.0, 2.0], "dec_deg": [0.0, 1.0]}
    table = Table(
        rows | {"flux_jy": [1.0] * 2, "ref_freq_hz": [1.4e9, 1400.0], "spectral_index": [0.0] * 2}
    )
    with pytest.raises(ContimgError, match=r"(row 2|line \d+) \(B\), column ref_freq_hz: 1400 Hz"):
        read_sources(written(tmp_path, table, suffix))


@pytest.mark.parametrize("suffix", FORMATS)
def test_masked_names_are_refused(tmp_path, suffix):
    rows = {"ra_deg": [1.0, 2.0], "dec_deg": [0.0, 1.0]}
    table = Table(
        rows | {"flux_jy": [1.0] * 2, "ref_freq_hz": [1.4e9] * 2, "spectral_index": [0.0] * 2}
    )
    table["name"] = MaskedColumn(["A", "B"], mask=[False, True])
    with pytest.raises(ContimgError, match=r"(row 2|line \d+), column name: is empty"):
        read_sources(written(tmp_path, table, suffix))


@pytest.mark.parametrize(
    ("factor", "words"), [(1e3, "median flux density is 300 Jy.*flux_mjy"), (1e-6, "3e-07 Jy")]
)
def test_a_median_that_no_sky_has(tmp_path, factor, words):
    lines = [f"S{k},{k},20,{flux * factor},1.4e9,-0.7" for k, flux in enumerate([0.1, 0.3, 9])]
    read_sources(text(tmp_path, *[f"S{k},{k},20,{flux},1.4e9,0" for k, flux in enumerate([9, 60])]))
    with pytest.raises(ContimgError, match=f"column flux_jy: the .*{words}"):
        read_sources(text(tmp_path, *lines))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (HEAD.replace("flux_jy", "flux"), "column flux: has no unit; declare one, or name"),
        (HEAD.replace("flux_jy", "flux [Jy/beam]"), "Jy/beam, which is not the unit of a flux den"),
        (HEAD.replace("flux_jy", "flux (Janskies)"), "a unit that is not known: 'Janskies'"),
        (HEAD.replace("ra_deg", "ra"), "column ra: has no unit"),
        (HEAD.replace("ra_deg", "right_ascension"), "lacks the columns ra_deg; it has name, right"),
        (HEAD.replace("spectral_index", "ra_deg"), "line of names: ra_deg is there twice"),
        (HEAD.replace("flux_jy,ref_freq_hz", "flux_mjy,flux_ujy"), "flux_mjy and flux_ujy: which"),
        (HEAD.replace("spectral_index", ""), "column 6 has values but no name"),
    ],
)
def test_columns_that_can_not_be_understood(tmp_path, head, words):
    with pytest.raises(ContimgError) as error:
        read_sources(text(tmp_path, GOOD, head=head))
    assert __import__("re").search(words, str(error.value)), str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf" + f"{HEAD}\n{GOOD}\n".encode(), "line 1.*byte-order mark.*plain UTF-8"),
        (f"{HEAD}\n{GOOD}\n".encode("utf-16"), "line 1.*begins as UTF-16"),
        (f"{HEAD}\n{GOOD}\nM\xfcller,1,2,3,1.4e9,0\n".encode("latin1"), "line 3, column 1.*UTF-8"),
        (f"{HEAD}\n{GOOD}\0\n".encode(), "NUL"),
        (b"", "holds no table"),
        (b"# only comment\n\n", "holds no table"),
        (f'{HEAD}\n"{GOOD}\n'.encode(), "line 2"),
    ],
)
@pytest.mark.parametrize("name", ["s.csv", "s.ecsv"])
def test_text_that_is_none_is_refused(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContimgError, match=words if name == "s.csv" else name):
        read_sources(tmp_path / name)


def test_utf8_names_and_quoted_text_are_read(tmp_path):
    path = text(tmp_path, '"Müller, a",10,20,1,1.4e9,-0.7')
    assert list(read_sources(path)["name"]) == ["Müller, a"]


VOT = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE><COOSYS ID="sys" system="ICRS"/><TABLE nrows="1">
<FIELD name="name" datatype="char" arraysize="*"/>
<FIELD name="ra" datatype="double" unit="deg" ref="sys" ucd="pos.eq.ra;meta.main"/>
<FIELD name="dec" datatype="double" unit="deg" ref="sys" ucd="pos.eq.dec;meta.main"/>
<FIELD name="flux" datatype="double" unit="mJy"/>
<FIELD name="ref_freq" datatype="double" unit="MHz"/>
<FIELD name="spectral_index" datatype="double"/>
<DATA><TABLEDATA>
<TR><TD>A</TD><TD>10</TD><TD>20</TD><TD>1000</TD><TD>1400</TD><TD>0</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""


def refused_without_memory(path: Path, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ContimgError, match=words):
            read_content(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_the_votable_that_the_next_tests_damage(tmp_path):
    path = tmp_path / "s.vot"
    path.write_text(VOT)
    row = read_sources(path).iloc[0]
    assert (row["ra_deg"], row["flux_jy"], row["ref_freq_hz"]) == (10, 1, 1.4e9)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('nrows="1"', 'nrows="1000000000000"', r"declares 1e\+12 rows .* in a file of 699 bytes"),
        ('nrows="1"', "nrows = '1000000000000'", "declares"),
        ('nrows="1"', 'nrows="many"', "nrows is 'many'"),
        (
            'name="ref_freq" datatype="double"',
            'name="ref_freq" datatype="double" arraysize="900000x900000"',
            "declares 1 rows of 6.48e",
        ),
        ("<TABLEDATA>", "<BINARY><STREAM href='file:///etc/passwd'/></BINARY><TABLEDATA>", "passw"),
        ("<TABLEDATA>", '<BINARY><STREAM a=">"\nhref = "http://x/y"/></BINARY><TABLEDATA>', "x/y"),
        ("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE', "document type"),
        ('encoding="UTF-8"', 'encoding="cp037"', "encoding cp037"),
        ("</RESOURCE>", "<TABLE/></RESOURCE>", "holds 2 tables"),
        ('system="ICRS"', 'system="eq_FK4" equinox="B1950"', "convert them to ICRS"),
        ('system="ICRS"', 'system="galactic"', "convert them to ICRS"),
        ("<VOTABLE", "<HTML", "s.vot"),
        ("</TABLEDATA>", "", "s.vot: not a readable vot table"),
    ],
)
def test_votables_that_must_not_be_believed(tmp_path, old, new, words):
    assert old in VOT
    path = tmp_path / "s.vot"
    path.write_text(VOT.replace(old, new))
    refused_without_memory(path, words)


def test_binary_votable_of_too_many_rows(tmp_path):
    path = tmp_path / "s.vot"
    data = base64.b64encode(struct.pack(">d", 1.0)).decode()
    rows = VOT[VOT.index("<TABLEDATA>") : VOT.index("</DATA>")]
    stream = f'<BINARY><STREAM encoding="base64">{data}</STREAM></BINARY>'
    path.write_text(VOT.replace(rows, stream).replace('nrows="1"', 'nrows="100000000000"'))
    refused_without_memory(path, "declares")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("NAXIS2", "100000000000", r"declares 1e\+11 rows of"),
        ("NAXIS1", "1000000000000", "declares 2 rows"),
        ("PCOUNT", "1000000000000", "declares"),
        ("NAXIS2", "-1", "s.fits"),
        ("TFORM2", "'900000000000D'", "s.fits"),
    ],
)
def test_fits_tables_that_must_not_be_believed(tmp_path, key, value, words):
    rows = {"name": ["A", "B"], "ra_deg": [1.0, 2.0], "dec_deg": [0.0, 1.0]}
    Table(rows).write(tmp_path / "s.fits")
    raw = (tmp_path / "s.fits").read_bytes()
    start = raw.index(f"{key:8s}=".encode())
    card = f"{key:8s}= {value:>20s}".ljust(80).encode()
    (tmp_path / "s.fits").write_bytes(raw[:start] + card + raw[start + 80 :])
    refused_without_memory(tmp_path / "s.fits", words)


def test_parquet_of_more_rows_than_bytes(tmp_path):
    pd.DataFrame({"name": np.zeros(3_000_000, np.int8)}).to_parquet(tmp_path / "s.parquet")
    refused_without_memory(tmp_path / "s.parquet", r"declares 3e\+06 rows in a file of")


@pytest.mark.parametrize("name", ["A", b"A", "Ä"])
def test_names_in_parquet_may_be_bytes_or_an_index(tmp_path, name):
    rows = pd.DataFrame({"name": [name], "ra_deg": [1.0], "dec_deg": [2.0], "flux_jy": [1.0]})
    rows = rows.assign(ref_freq_hz=1.4e9, spectral_index=0.0)
    expected = [name.decode() if isinstance(name, bytes) else name]
    for number, frame in enumerate([rows, rows.set_index("name")]):
        frame.to_parquet(tmp_path / f"{number}.parquet")
        assert list(read_sources(tmp_path / f"{number}.parquet")["name"]) == expected


@pytest.mark.parametrize("suffix", [".csv", *FORMATS])
def test_a_table_without_rows_has_none(tmp_path, suffix):
    row = {"name": ["A"], "ra_deg": [1.0], "dec_deg": [2.0], "flux_jy": [1.0]}
    table = Table(row | {"ref_freq_hz": [1.4e9], "spectral_index": [0.0]})
    found = read_sources(written(tmp_path, table[:0], suffix))
    assert len(found) == 0 and {"name", "ra_deg", "flux_jy", "log_poly"} <= set(found.columns)


def test_packed_tables_say_so(tmp_path):
    (tmp_path / "s.csv.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ContimgError, match="unpack it first"):
        read_sources(tmp_path / "s.csv.gz")


@pytest.mark.parametrize("suffix", [".csv", *FORMATS])
def test_damaged_files_are_read_or_refused(tmp_path, suffix):
    """Random bytes changed: a table or a named error, never anything else."""
    rng = np.random.default_rng(8)
    rows = {"name": ["A", "B"], "ra_deg": [1.0, 2.0], "dec_deg": [0.0, 1.0]}
    table = Table(
        rows | {"flux_jy": [1.0] * 2, "ref_freq_hz": [1.4e9] * 2, "spectral_index": [0.0] * 2}
    )
    path = written(tmp_path, table, suffix)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        broken = whole.copy()
        where = rng.integers(0, min(whole.size, 6000), 3)
        broken[where] ^= rng.integers(1, 256, 3).astype(np.uint8)
        path.write_bytes(broken[: rng.integers(1, 2 * whole.size)].tobytes())
        try:
            read_sources(path)
        except ContimgError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 5


def test_a_large_table_is_read_quickly(tmp_path):
    """10,000 rows in well below the half second that the start of a run may spend on it."""
    import time

    rng = np.random.default_rng(1)
    table = pd.DataFrame({"name": [f"S{k}" for k in range(10_000)]})
    table["ra_deg"], table["dec_deg"] = rng.uniform(0, 360, 10_000), rng.uniform(-90, 90, 10_000)
    table = table.assign(flux_jy=0.1, ref_freq_hz=1.4e9, spectral_index=-0.7)
    table.to_csv(tmp_path / "s.csv", index=False)
    read_sources(tmp_path / "s.csv")
    start = time.process_time()
    read_sources(tmp_path / "s.csv")
    assert time.process_time() - start < 0.5
