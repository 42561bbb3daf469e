"""The inventory on disk: what is written, what is left alone, what a person is told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from contimg.cli import main
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.groups import read_manifest
from contimg.core.paths import path
from contimg.core.plans import plan_text, read_plan
from contimg.discover import inventory as module
from contimg.discover.options import DiscoverOptions
from contimg.mosaic.options import MosaicOptions
from contimg.plan.estimate import FULL_BYTES, SHIPPED, estimate, medians
from contimg.plan.options import PlanOptions
from contimg.run.refresh import refresh
from contimg.simulate.options import SimulateOptions
from discover.simulated_headers import INSTRUMENT, headers

TABLE = headers(3).assign(bytes=1000)
CALIBRATORS = "name,ra_deg,dec_deg,flux_jy,ref_freq_hz,spectral_index\n"


class Site:
    """A raw directory of empty files whose headers are known already."""

    def __init__(self, directory: Path, monkeypatch) -> None:
        self.raw, self.results = directory / "raw", str(directory / "results")
        self.raw.mkdir()
        self.calibrators = directory / "calibrators.csv"
        self.calibrators.write_text(f"{CALIBRATORS}far,0,-60,9,1.4e9,0\n")
        self.rows = {}
        for number, row in enumerate(TABLE.to_dict("records")):
            name = f"2025-10-05T12:{row['path'][5]}0:00_sb{number % 4:02d}.hdf5"
            (self.raw / name).write_bytes(b"x")
            self.rows[str(self.raw / name)] = row
        monkeypatch.setattr(
            "contimg.core.grouping.scan._open",
            lambda name: {k: v for k, v in self.rows[name].items() if k in HEADER},
        )

    def refresh(self, **discover):
        return refresh(
            self.results,
            INSTRUMENT,
            DiscoverOptions(raw_dir=self.raw, min_subbands=3, **discover),
            PlanOptions(calibrators=self.calibrators),
            MosaicOptions(mode="day"),
            SimulateOptions(),
        )

    def stamps(self) -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in Path(self.results).rglob("*") if p.is_file()}


HEADER = set(TABLE) - {"path", "bytes", "mtime_ns", "reason", "kind", "name_mjd"}


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_nothing_is_written_twice(site, monkeypatch):
    plan = site.refresh()
    assert len(plan["groups"]) == 3 and read_plan(site.results) == json.loads(json.dumps(plan))
    before = site.stamps()
    assert len(before) == 10  # plan, groups, files, rejected, three tables, three manifests

    def forbidden(*arguments):
        raise AssertionError("a manifest was looked into although nothing changed")

    monkeypatch.setattr(module, "write_manifest", forbidden)
    site.refresh()
    assert site.stamps() == before


def test_a_lost_manifest_comes_back_and_only_it(site):
    plan = site.refresh()
    name = sorted(plan["groups"])[1]
    manifest = Path(path("manifest", site.results, group=name))
    text = manifest.read_text()
    manifest.unlink()
    before = site.stamps()
    site.refresh()
    assert manifest.read_text() == text
    assert {k: v for k, v in site.stamps().items() if k != str(manifest)} == before


def test_a_late_subband_changes_its_manifest_alone(site):
    late = next(iter(site.rows))
    Path(late).rename(site.raw.parent / "late")
    plan = site.refresh()
    before = site.stamps()
    (site.raw.parent / "late").rename(late)
    site.refresh()
    changed = {name for name, stamp in site.stamps().items() if before.get(name) != stamp}
    manifests = [name for name in changed if "/groups/" in name]
    assert manifests == [path("manifest", site.results, group=sorted(plan["groups"])[0])]
    assert len(read_manifest(manifests[0])[1]) == 4


def test_every_file_is_counted(site):
    (site.raw / "2025-10-05T12:00:00_sb09.hdf5").write_bytes(b"")
    (site.raw / "link.hdf5").symlink_to("nowhere")
    plan = site.refresh()
    assert plan["files"] == {"found": 14, "in_groups": 12, "not_selected": 0, "rejected": 2}
    assert plan["rejected_by_reason"] == {"access": 1, "empty": 1}
    with open(path("rejected", site.results, plan=plan["plan"]), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "reason"] and len(rows) == 2
    one = site.refresh(groups=[sorted(plan["groups"])[0]])
    assert one["files"]["in_groups"] == 4 and list(one["groups"]) == sorted(plan["groups"])[:1]
    assert sum(one["files"][k] for k in ("in_groups", "not_selected", "rejected")) == 14


def test_selections_without_groups_say_so(site):
    with pytest.raises(ContimgError, match="no group at all within the selection"):
        site.refresh(days=["2024-01-01"])
    with pytest.raises(ContimgError, match="no group 20251005T235959"):
        site.refresh(groups=["20251005T235959"])
    for name in list(site.rows)[:3]:
        Path(name).unlink()
    with pytest.raises(ContimgError, match=r"no group 20251005T120000; group .*1 of 4 subbands"):
        site.refresh(groups=["20251005T120000"])


def test_an_empty_raw_directory_does_not_empty_the_plan(site):
    site.refresh()
    before = site.stamps()
    for name in site.rows:
        Path(name).unlink()
    with pytest.raises(ContimgError, match=r"no \*\.hdf5 below it"):
        site.refresh()
    assert site.stamps() == before


def test_a_frozen_plan_is_not_made_anew(site):
    plan = site.refresh()
    for name in list(site.rows)[:8]:
        Path(name).unlink()
    assert site.refresh(scan=False)["groups"] == plan["groups"]
    assert len(site.refresh()["groups"]) == 1


def test_tables_say_what_the_plan_says(site):
    plan = site.refresh()
    tiles = list(
        csv.DictReader(
            io.StringIO(Path(path("tiles_table", site.results, plan=plan["plan"])).read_text())
        )
    )
    assert [t["tile"] for t in tiles] == list(plan["groups"])
    assert {t["reason"] for t in tiles} == {"no calibrator that may serve was observed"}
    mosaics = list(
        csv.DictReader(
            io.StringIO(Path(path("mosaics_table", site.results, plan=plan["plan"])).read_text())
        )
    )
    assert [m["mosaic"] for m in mosaics] == list(plan["mosaics"]) == ["20251005_d+55.58"]
    assert mosaics[0]["tiles"].split() == list(plan["groups"])
    assert float(mosaics[0]["length_minutes"]) == pytest.approx(3 * 309.24 / 60, abs=0.1)


def test_a_plan_is_one_line_an_item(site):
    plan = site.refresh()
    text = plan_text(plan)
    told = json.loads(text)
    del told["digest"]
    assert told == json.loads(json.dumps(plan))
    assert sum('"start_mjd"' in line for line in text.splitlines()) == 3


def command(site, *more: str) -> list[str]:
    return [
        *("--results", site.results, "--raw-dir", str(site.raw), "--min-subbands", "3"),
        *("--subbands", "4", "--band-mhz", "1311.25", "1498.75"),
        *("--calibrators", str(site.calibrators), *more),
    ]


def test_plan_reads_and_discover_makes(site, capsys):
    assert main(["plan", "--results", site.results]) == 1
    assert "contimg discover --results" in capsys.readouterr().err
    assert main(["discover", *command(site)]) == 0
    assert "12 = 12 in groups + 0 not selected + 0 rejected" in capsys.readouterr().out
    assert main(["plan", "--results", site.results, "--cores", "4"]) == 0
    out = capsys.readouterr().out
    assert (
        "tiles without a calset, and why" in out
        and "no calibrator that may serve was observed" in out
    )
    assert "on 4 cores" in out and "2025-10-05T11:59:54" in out
    assert main(["plan", "--results", site.results, "--days", "2025-10-05"]) == 1
    assert "--days: the plan that is there is only printed" in capsys.readouterr().err
    assert main(["plan", *command(site, "--mode", "window", "--lines", "1")]) == 0
    assert "... and 2 more, see" in capsys.readouterr().out


def test_wrong_selections_on_the_command_line(site, capsys):
    assert main(["discover", *command(site, "--days", "yesterday")]) == 2
    assert "not a day; write YYYY-MM-DD" in capsys.readouterr().err
    assert main(["discover", *command(site, "--use", "3C999")]) == 1
    assert "no calibrator named 3C999" in capsys.readouterr().err


def plan_of(tiles: int, raw_bytes: int) -> dict:
    names = [f"t{k}" for k in range(tiles)]
    return {
        "tiles": {n: {"calsets": ["c"], "reason": "", "raw_bytes": raw_bytes} for n in names},
        "mosaics": {"m": {"tiles": names}},
        "calsets": {"c": {}, "never used": {}},
        "files": {"found": 1},
    }


def test_the_estimate_grows_with_the_data_and_falls_with_cores(tmp_path):
    full = estimate(plan_of(100, FULL_BYTES), tmp_path, 1)
    assert full.jobs["solve_calset"] == 1 and full.jobs["image_tile"] == 100
    assert full.cpu_s["image_tile"] == pytest.approx(100 * sum(SHIPPED["image_tile"]))
    half = estimate(plan_of(100, FULL_BYTES // 2), tmp_path, 1)
    start = SHIPPED["image_tile"][1] * 100
    assert half.cpu_s["image_tile"] - start == pytest.approx((full.cpu_s["image_tile"] - start) / 2)
    assert full.wall_s == pytest.approx(sum(full.cpu_s.values()))
    assert estimate(plan_of(100, FULL_BYTES), tmp_path, 4).wall_s == pytest.approx(full.wall_s / 4)
    chain = estimate(plan_of(100, FULL_BYTES), tmp_path, 10_000).wall_s
    assert chain > sum(SHIPPED["solve_calset"])  # one job after the other, however many cores
    assert half.disk_bytes < full.disk_bytes


def test_the_estimate_takes_what_was_measured(tmp_path):
    header = "s\th:m:s\tmax_rss\tcpu_time\n"
    for k, (wall, cpu) in enumerate(((10, "8.0"), (30, "20.0"), (20, "NA"))):
        table = tmp_path / "image_tile" / "2025-10-05" / f"{k}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(f"{header}{wall}\t0:00:10\t1\t{cpu}\n")
    assert medians(tmp_path) == {"image_tile": (20.0, 20.0)}
    known = estimate(plan_of(10, FULL_BYTES), tmp_path, 1)
    assert known.measured == ["image_tile"] and known.cpu_s["image_tile"] == 200


def test_nothing_to_do_costs_nothing(tmp_path):
    empty = {"tiles": {}, "mosaics": {}, "calsets": {}, "files": {}}
    nothing = estimate(empty, tmp_path, 2)
    assert (nothing.jobs, nothing.wall_s, nothing.disk_bytes) == ({}, 0.0, 0.0)


@pytest.mark.parametrize("what", ["cut", "empty", "gone"])
def test_the_inventory_mends_itself(site, what):
    """Whatever of it is cut short is written anew by the next start, and the rest left alone."""
    plan = site.refresh()
    files = [Path(name) for name in site.stamps()]
    whole = {file: file.read_bytes() for file in files}
    for file in files:
        if what == "gone":
            file.unlink()
        else:
            file.write_bytes(whole[file][: len(whole[file]) // 2 if what == "cut" else 0])
        assert site.refresh() == plan, file
        if file.name != "files.parquet":  # when a header was read is in it
            assert file.read_bytes() == whole[file], file


def test_a_manifest_that_says_something_else_is_not_used(site):
    plan = site.refresh()
    manifest = Path(path("manifest", site.results, group=sorted(plan["groups"])[1]))
    text = manifest.read_text()
    for bad in (
        text.replace('"ra_deg": ', '"ra_deg": 1', 1),
        text.replace("digest", "digesT"),
        "[" * 100_000,
        "{}",
    ):
        manifest.write_text(bad)
        with pytest.raises(DamagedError, match=r"verify --repair"):
            read_manifest(manifest)
    manifest.write_bytes(b"\xff" + text.encode())
    with pytest.raises(DamagedError):
        read_manifest(manifest)
    manifest.unlink()
    site.refresh()
    assert manifest.read_text() == text


def test_a_manifest_of_another_group_is_refused(site):
    plan = site.refresh()
    first, second = (
        Path(path("manifest", site.results, group=name)) for name in sorted(plan["groups"])[:2]
    )
    second.write_text(first.read_text())
    with pytest.raises(DamagedError, match="is that of"):
        read_manifest(second)
