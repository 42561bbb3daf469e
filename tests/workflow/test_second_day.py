"""The second day: tables are edited, days are added, two runs share a results directory."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import h5py
import pandas as pd
import pytest
import yaml

from contimg.core.paths import path
from contimg.core.plans import read_plan
from workflow.conftest import ROOT, SNAKEMAKE, Run

DAYS = ["2025-10-05", "2025-10-06", "2025-10-07"]


def counts(planned: str) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    lines = [line.split() for line in planned.splitlines()]
    rules = [words for words in lines if len(words) == 2 and words[1].isdigit()]
    return {rule: int(number) for rule, number in rules if "_" in rule}


def tree(folder: Path) -> str:
    """Hash of every name, byte and time below a directory."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        digest.update(f"{file} {file.stat().st_mtime_ns}".encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def with_config(run: Run, changes: dict) -> list[str]:
    """Arguments that lay `changes` over the config of a run."""
    target = run.directory / "changes.yaml"
    target.write_text(yaml.safe_dump(changes))
    return ["--configfile", str(run.configfile), str(target)]


def planned(run: Run, **changes) -> dict[str, int]:
    """What a dry run with some sections of the config changed would do."""
    config = yaml.safe_load(run.configfile.read_text())
    laid = {key: config.get(key, {}) | value for key, value in changes.items()}
    return counts(run.snakemake("-n", "all", *with_config(run, laid)))


IMAGING = {"image_tile", "mosaic_tiles", "validate_mosaic", "measure_photometry"}
AFTER = {"publish_mosaic", "normalise_lightcurves", "find_variables", "compare_truth"}
ALL_TILES = {"list_unknown", "fit_beam"}
TOLD = {"show_status", "report_run"}


@pytest.mark.parametrize(
    ("section", "leaf", "value", "rules"),
    [
        ("image", "max_offset_beams", 0.01, set()),
        ("flag", "usable_warn", 0.4, set()),
        ("image", "pb_limit", 0.25, IMAGING | ALL_TILES | AFTER | TOLD),
        ("variability", "seed", 5, {"find_variables", "compare_truth"} | TOLD),
        ("report", "title", "Another", {"report_run"}),
    ],
)
def test_a_leaf_makes_again_what_it_changes(run, section, leaf, value, rules):
    assert set(planned(run, **{section: {leaf: value}})) == rules


def test_looking_changes_nothing(run):
    before = tree(run.results)
    for look in (["-n"], ["--summary"], ["--dag"], ["--list-changes", "params"]):
        run.snakemake(*look, "--config", "mosaic={span_minutes: 50}")
    assert tree(run.results) == before


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("pb", {"group": "", "tier": "standard"}),
        ("mosaic_coverage", {"mosaic": ""}),
        ("candidates_vot", {}),
        ("calset_page", {"calset": ""}),
    ],
)
def test_a_product_that_is_gone_is_made_again(run, name, key):
    plan = read_plan(str(run.results))
    item = {kind: next(iter(plan[f"{kind}s"])) for kind, value in key.items() if not value}
    file = Path(path(name, str(run.results), **{**key, **item}))
    hidden = file.rename(f"{file}.hidden")
    jobs = counts(run.snakemake("-n", "all"))
    hidden.rename(file)
    rule = {"pb": "image_tile", "mosaic_coverage": "mosaic_tiles"}
    rule |= {"candidates_vot": "find_variables", "calset_page": "inspect_calset"}
    assert jobs[rule[name]] == 1 and not set(jobs) & {"solve_calset", "convert_calibrator"}


def test_why_says_what_would_make_a_product_again(run):
    image = next(run.results.glob("images/*/*/*.image.fits"))
    said = run.contimg("why", str(image)).stdout
    assert "up to date" in said and "from raw files" in said
    done = run.contimg("why", str(image), *with_config(run, {"image": {"pb_limit": 0.25}}))
    assert "option image.pb_limit: 0.2 -> 0.25" in done.stdout


class Survey:
    """The raw data of the tiny sky taken as an observation, with a config for each run."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.directory, self.results = directory, directory / "two words" / "results"
        self.forked = run.forked
        self.results.parent.mkdir(parents=True)
        self.catalog = directory / "catalog.csv"
        shutil.copyfile(run.results / "simulated/catalog.csv", self.catalog)
        config = yaml.safe_load(run.configfile.read_text())
        self.tables = {name: directory / name for name in ("flags.csv", "mask.reg", "holds.csv")}
        shutil.copyfile(ROOT / "config/flags.csv", self.tables["flags.csv"])
        self.tables["mask.reg"].write_text('icrs\ncircle(128.73d, 55.57d, 7200")\n')
        self.tables["holds.csv"].write_text("product,decision,reason\n")
        self.config = {
            **{key: config[key] for key in ("instrument", "plan", "mosaic")},
            "flag": {"manual_table": str(self.tables["flags.csv"])},
            "image": config["image"] | {"mask_regions": str(self.tables["mask.reg"])},
            "publish": {"overrides": str(self.tables["holds.csv"])},
            "results": str(self.results),
            "catalog": str(self.catalog),
            "discover": {"raw_dir": config["discover"]["raw_dir"]},
        }

    def command(self, days: list[str], *arguments: str) -> list[str]:
        name = "-".join(day[-2:] for day in days)
        file = self.directory / f"{name}.yaml"
        discover = {**self.config["discover"], "days": days}
        file.write_text(yaml.safe_dump({**self.config, "discover": discover}))
        folder = self.directory / "work"
        folder.mkdir(exist_ok=True)
        return [
            *(*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(folder), "--configfile", str(file), *arguments),
        ]

    def planned(self, days: list[str]) -> dict[str, int]:
        words = self.command(days, "-n", "all")[len(SNAKEMAKE) :]
        status, output = self.forked.snakemake(words, self.directory / "planned.txt")
        assert status == 0, output[-6000:]
        return counts(output)

    def offered(self, day: str) -> int:
        """Number of tiles of days 1 and 2 that were offered the calset of `day`.

        Whether that of day 2 was is a matter of which of the two runs began first.
        """
        choices = [file.read_text() for file in self.results.glob("calibrated/*/*.calset.json")]
        calsets = [{c["calset"] for c in json.loads(text)["candidates"]} for text in choices]
        assert len(calsets) == len(DAYS)
        made = {file.parent.name for file in self.results.glob(f"cal/{day}/*/solutions.json")}
        return sum(bool(made & offered) for offered in calsets)


@pytest.fixture(scope="module")
def survey(run, tmp_path_factory) -> Survey:
    """Days 1 and 2, and days 2 and 3, run at the same time in one results directory."""
    made = Survey(run, tmp_path_factory.mktemp("survey"))
    logs = [made.directory / f"{name}.log" for name in ("first", "second")]
    pair = []
    for days, log in zip((DAYS[:2], DAYS[1:]), logs, strict=True):
        with log.open("w") as stream:
            command = made.command(days, "--cores", "1")
            pair.append(subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream))
    ends = [process.wait(timeout=1200) for process in pair]
    outputs = [log.read_text() for log in logs]
    assert ends == [0, 0], outputs
    assert sum("this run begins when it ends" in text for text in outputs) == 1
    made.output = "\n".join(outputs)
    return made


def test_two_runs_at_once_make_each_product_once(survey):
    for rule in ("calibrate_tile", "image_tile", "measure_photometry"):
        assert survey.output.count(f"rule {rule}:") == len(DAYS)


def test_light_curves_are_of_all_days_whoever_made_them(survey):
    curves = pd.read_parquet(path("lightcurves", str(survey.results)))
    assert curves["mosaic"].nunique() == len(DAYS)
    assert curves.groupby("source").size().max() == len(DAYS)


def test_a_day_that_is_added_costs_its_own_jobs(survey):
    jobs = survey.planned(DAYS)
    assert not set(jobs) & {"solve_calset", "calibrate_tile", "image_tile"}


def test_a_narrower_selection_leaves_calibrated_tiles_alone(survey):
    jobs = survey.planned(DAYS[1:2])
    assert not set(jobs) & {"solve_calset", "calibrate_tile", "image_tile"}


def test_elsewhere_snakemake_knows_nothing_and_the_run_says_so(survey):
    command = survey.command(DAYS[:1], "--cores", "1")
    command[command.index("--directory") + 1] = str(survey.directory)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode != 0 and "earlier runs were started in" in done.stdout + done.stderr


def test_a_new_target_costs_photometry_and_a_remark_nothing(survey):
    table = pd.read_csv(survey.catalog)
    before = survey.catalog.read_text()
    row = table.iloc[[0]].assign(name="new", dec_deg=table["dec_deg"].iloc[0] + 0.2, flux_jy=0.001)
    targets = survey.directory / "targets.csv"
    pd.concat([table, row]).to_csv(targets, index=False)
    survey.config["targets"] = str(targets)
    jobs = survey.planned(DAYS[:2])
    del survey.config["targets"]
    # the image of a tile is that of the sources fitted to it
    assert jobs["fit_tile"] == jobs["image_tile"] == jobs["measure_photometry"] == 2
    assert not set(jobs) & {"solve_calset", "calibrate_tile"}
    survey.catalog.write_text(before + "\n")  # written again, and nothing new in it
    assert not set(survey.planned(DAYS[:2])) & {"solve_calset", "measure_photometry"}


@pytest.mark.parametrize(
    ("table", "added", "rule", "number"),
    [
        ("flags.csv", "# seen again\n", "calibrate_tile", 2),
        ("mask.reg", 'circle(129.0d, 55.0d, 60")\n', "image_tile", 2),
        ("holds.csv", "20251005_0834+555,hold,a test\n", "publish_mosaic", 1),
    ],
)
def test_an_edited_table_makes_again_what_it_says(survey, table, added, rule, number):
    file = survey.tables[table]
    before = file.read_text()
    file.write_text(before)  # written anew, with the same words
    assert rule not in survey.planned(DAYS[:2])
    file.write_text(before + added)
    jobs = survey.planned(DAYS[:2])
    file.write_text(before)
    assert jobs[rule] == number


def test_raw_files_are_known_by_what_they_hold(survey):
    raw = Path(survey.config["discover"]["raw_dir"])
    file = sorted(raw.rglob(f"{DAYS[0]}*.hdf5"))[0]
    content = file.read_bytes()
    file.write_bytes(content)  # touched
    assert "calibrate_tile" not in survey.planned(DAYS[:2])
    with h5py.File(file, "r+") as opened:
        data = opened["Data/visdata"]
        data[...] = data[...][::-1]
    assert file.stat().st_size == len(content)
    jobs = survey.planned(DAYS[:2])
    file.write_bytes(content)
    assert jobs["calibrate_tile"] == survey.offered(DAYS[0])


def test_a_calibrator_counts_by_its_row(survey):
    table = survey.directory / "calibrators.csv"
    source = Path(survey.config["plan"]["calibrators"]).read_text()
    table.write_text(source)
    survey.config["plan"] = {**survey.config["plan"], "calibrators": str(table)}
    assert "solve_calset" not in survey.planned(DAYS[:2])
    rows = pd.read_csv(table, comment="#", dtype=str, keep_default_na=False)
    mine = rows["name"] == "0834+555"
    rows.loc[mine, "remarks"] = "seen again"
    rows.to_csv(table, index=False)
    assert "solve_calset" not in survey.planned(DAYS[:2])
    rows.loc[mine, "flux_jy"] = "8.9"
    rows.to_csv(table, index=False)
    # of both days, and of the third where it is among those that a tile keeps
    assert survey.planned(DAYS[:2])["solve_calset"] in {2, 3}


def test_records_tell_the_code_and_the_plan(survey):
    record = json.loads(next(survey.results.glob("images/*/*/*.json")).read_text())
    assert record["code"]["contimg.image.command"] and "contimg.core.html" not in record["code"]
