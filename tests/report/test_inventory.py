"""contimg inventory: every planned or found product once, in its true state."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.groups import Group, write_manifest
from contimg.core.paths import path
from contimg.core.records import check, write_record, write_text

PLAN = "0123456789"  # name of the plan

GROUPS = ["20251005T152931", "20251006T152535", "20251007T152139"]


@pytest.fixture
def results(tmp_path) -> str:
    """Three groups: one made, one failed, one pending; one rejected file; one left-over image."""
    results = str(tmp_path / "results")
    plan = {"groups": {}, "calsets": {}, "tiles": {}, "mosaics": {}, "rejected": 1}
    for day, group in enumerate(GROUPS):
        plan["groups"][group] = {"start_mjd": 60953.645 + day}
        plan["calsets"][f"{group}_0834+555"] = {"group": group}
    plan["mosaics"] = {"20251005_0834+555": {"tiles": GROUPS[:1]}}
    write_text(path("plan", results, plan=PLAN), json.dumps(plan))
    lost = tmp_path / "raw" / "2025-10-08T15:00:00_sb03.hdf5"
    lost.parent.mkdir()
    lost.write_bytes(b"x" * 1000)
    write_text(path("rejected", results, plan=PLAN), f"path,reason\n{lost},unreadable: truncated\n")

    def made(record, size=None, product=None, verdict="pass", **key):
        checks = [check("rms", 2, fail_above=1)] if verdict == "fail" else []
        name = path(record, results, **key)
        write_record(name, product="p", stage="s", data={}, checks=checks)
        if product:
            write_text(path(product, results, **key), "x" * size)

    made("ms_record", group=GROUPS[0])
    write_text(path("ms", results, group=GROUPS[0]) + "/table.dat", "x" * 2_000_000)
    made("ms_record", group=GROUPS[1], verdict="fail")
    made("image_record", 5_000_000, "image", group=GROUPS[0], tier="standard")
    made("image_record", 10, "image", group="20240101T000000", tier="standard")
    write_text(path("image_record", results, group=GROUPS[1], tier="standard"), "{not json")
    return results


def inventory(tmp_path, results, *words) -> pd.DataFrame:
    table = tmp_path / "list.csv"
    assert main(["inventory", "--results", results, *words, "--table", str(table)]) == 0
    return pd.read_csv(table, keep_default_na=False)


def state(table: pd.DataFrame, kind: str, name: str) -> pd.Series:
    (row,) = (r for _, r in table.iterrows() if (r["kind"], r["name"]) == (kind, name))
    return row


def test_states_reasons_and_sizes(tmp_path, results, capsys):
    table = inventory(tmp_path, results)
    done = state(table, "ms", f"{GROUPS[0]}.ms")
    assert (done["state"], done["verdict"]) == ("done", "pass")
    assert float(done["size_gb"]) == 0.002 and done["made_utc"]
    assert done["start_utc"] == "2025-10-05T15:28:48"
    failed = state(table, "ms", f"{GROUPS[1]}.ms")
    assert failed["state"] == "failed" and "rms 2 > 1" in failed["reason"]
    assert state(table, "ms", f"{GROUPS[2]}.ms")["state"] == "pending"
    assert state(table, "ms", f"calibrated {GROUPS[0]}.ms")["state"] == "pending"
    broken = state(table, "image", f"{GROUPS[1]}.standard")
    assert broken["state"] == "failed" and "unreadable record" in broken["reason"]
    image = state(table, "image", f"{GROUPS[0]}.standard")
    assert image["state"] == "incomplete" and float(image["size_gb"]) == 0.005
    assert "products removed" in image["reason"]  # only one of the planes is there
    assert "not in the plan" in state(table, "image", "20240101T000000.standard")["reason"]
    assert state(table, "caltable", f"{GROUPS[0]}_0834+555")["state"] == "pending"
    assert state(table, "mosaic", "20251005_0834+555")["state"] == "pending"
    rejected = state(table, "group", "2025-10-08T15:00:00_sb03.hdf5")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "unreadable: truncated")
    assert float(rejected["size_gb"]) == 1e-6 and rejected["start_utc"] == "2025-10-08T15:00:00"
    # nothing twice, nothing lost: 3 groups + 1 file, 3 x 3 MSs, 3 caltables, 4 images, 1 mosaic
    assert table["kind"].value_counts().to_dict() == {
        "ms": 9, "group": 4, "image": 4, "caltable": 3, "mosaic": 1,
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "ms             9       0.002 GB  7 pending, 1 done, 1 failed" in out


def test_filters_and_json(tmp_path, results):
    names = tmp_path / "list.json"
    table = inventory(tmp_path, results, "--kind", "ms", "image", "--state", "failed", "incomplete")
    assert set(table["kind"]) == {"ms", "image"} and len(table) == 4
    table = inventory(tmp_path, results, "--since", "2025-10-06", "--until", "2025-10-07")
    assert set(table["start_utc"].str[:10]) == {"2025-10-06"}
    words = ["--state", "rejected", "--json-table", str(names)]
    table = inventory(tmp_path, results, *words)
    assert [row["name"] for row in json.loads(names.read_text())] == list(table["name"])
    assert len(table) == 1


def test_raw_files_of_groups(tmp_path, results):
    """Present, gone, or not made yet."""
    raw = tmp_path / "raw" / "a.hdf5"
    raw.write_bytes(b"x" * 3000)
    fields = dict.fromkeys(
        ["telescope", "latitude_deg", "longitude_deg", "height_m", "start_mjd", "end_mjd",
         "integration_s", "n_times", "tracking", "dec_app_deg", "ra_deg", "dec_deg", "field",
         "freq_min_hz", "freq_max_hz", "subbands"], 0,
    )  # fmt: skip
    for group, files in ((GROUPS[0], [raw]), (GROUPS[1], [raw, raw.with_name("gone.hdf5")])):
        manifest = path("manifest", results, group=group)
        write_manifest(
            manifest, Group(**fields | {"group": group}), [{"path": str(f)} for f in files]
        )
    table = inventory(tmp_path, results, "--kind", "group")
    rows = [state(table, "group", group) for group in GROUPS]
    assert [r["state"] for r in rows] == ["done", "failed", "pending"]
    assert float(rows[0]["size_gb"]) == 3e-6 and "gone.hdf5" in rows[1]["reason"]


def test_unknown_directory_and_kind(tmp_path, capsys):
    assert main(["inventory", "--results", str(tmp_path / "none")]) == 1
    assert "no such results directory" in capsys.readouterr().err
    assert main(["inventory", "--kind", "pictures"]) == 2
