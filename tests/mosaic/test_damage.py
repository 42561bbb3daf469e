"""Damaged tiles: whatever happened to a file, its tile is left out with a reason."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from astropy.io import fits

from contimg.core.errors import DataQualityError
from contimg.core.seals import seal
from mosaic.make_tiles import Sky
from mosaic.test_select import chosen, make

SKY = Sky(np.array([10.1]), np.array([30.0]), np.array([0.2]))


def tiles(folder, peak=0.2):
    return [make(folder, f"t{i}", data={"peak_jy_beam": peak}) for i in range(3)]


def spoil(file, value, at=(70, 80)):
    """One pixel is another one, and the sums in the header are those of what is there now."""
    with fits.open(file, mode="update") as hdus:
        hdus[0].data[0, 0, at[0], at[1]] = value
        hdus[0].add_checksum()


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("image", 3.9e36, r"a pixel of 3.9e\+36 Jy/beam in its image"),
        ("image", -0.5, "a pixel of 0.5 Jy/beam in its image"),
        ("image", np.inf, "a pixel of inf"),
        ("residual", 1e20, "in its residual"),
        ("pb", np.inf, "primary beam has a pixel without end"),
        ("pb", 2e9, "primary beam has a pixel of 2e"),
    ],
)
def test_a_pixel_that_cannot_be_costs_its_tile(tmp_path, kind, value, reason):
    """Whatever the checksums say."""
    made = tiles(tmp_path)
    assert chosen(made)[0] == ["t0", "t1", "t2"]
    spoil(made[1][kind], value)
    used, reasons = chosen(made)
    assert used == ["t0", "t2"]
    assert re.search(reason, reasons["t1"])


def test_numbers_without_end_are_refused_where_no_peak_is_on_record(tmp_path):
    made = [make(tmp_path, f"t{i}") for i in range(3)]
    spoil(made[0]["image"], np.inf)
    assert chosen(made)[0] == ["t1", "t2"]


@pytest.mark.parametrize("kind", ["image", "residual", "pb"])
@pytest.mark.parametrize("sealed", [True, False], ids=["by its record", "by its header"])
def test_a_flipped_bit_costs_its_tile(tmp_path, kind, sealed):
    made = tiles(tmp_path)
    for tile in made:
        if sealed:
            seal(tile["record"], [tile[k] for k in ("image", "residual", "pb")])
    content = bytearray(made[2][kind].read_bytes())
    content[-20_001] ^= 1
    made[2][kind].write_bytes(content)
    used, reasons = chosen(made)
    assert used == ["t0", "t1"]
    assert str(made[2][kind]) in reasons["t2"] and "damaged" in reasons["t2"]


@pytest.mark.parametrize("what", ["cut", "record", "record gone bad"])
def test_a_torn_file_costs_its_tile(tmp_path, what):
    made = tiles(tmp_path)
    if what == "cut":
        made[1]["image"].write_bytes(made[1]["image"].read_bytes()[:-9000])
    else:
        text = made[1]["record"].read_text()
        text = text[:60] if what == "record" else text.replace("pass", "faal")
        made[1]["record"].write_text(text)
    used, reasons = chosen(made)
    assert used == ["t0", "t2"] and "damaged" in reasons["t1"]


def test_a_tile_whose_calibration_cannot_be_followed_is_left_out(tmp_path):
    """Results that were moved in part; what lies at the old place is not asked."""
    made = tiles(tmp_path)
    folder = tmp_path / "images" / "2025-10-05" / "20251005T034512"
    folder.mkdir(parents=True)
    name = "20251005T034512.standard"
    for kind in ("image", "residual", "pb"):
        shutil.move(made[1][kind], folder / f"{name}.{kind}.fits")
        made[1][kind] = folder / f"{name}.{kind}.fits"
    content = json.loads(made[1]["record"].read_text())
    gone = {"path": "calibrated/2025-10-05/20251005T034512.json", "below": "results", "sha256": ""}
    made[1]["record"] = folder / f"{name}.json"
    made[1]["record"].write_text(json.dumps(content | {"inputs": [gone]}))
    used, reasons = chosen(made)
    assert used == ["t0", "t2"] and "which is gone" in reasons[name]
    for tile in made:
        tile["record"].write_text("{")
    with pytest.raises(DataQualityError, match="no tile can be used"):
        chosen(made)
