"""The workflow on a real SLURM, with the profile that ``snakemake --profile slurm`` finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slurm

# `grow` fails in the memory of its first attempt, as a job does that is killed for memory
TOY = """
OUT = config["out"]

rule all:
    input: f"{OUT}/grow.txt", f"{OUT}/plain.txt"

rule plain:
    output: f"{OUT}/plain.txt"
    resources: mem_mb=1000, runtime=2
    shell: "echo $SLURM_JOB_ID > {output}"

rule grow:
    output: f"{OUT}/grow.txt"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=2,
    shell: "test {resources.mem_mb} -ge 3000 && echo $SLURM_JOB_ID > {output}"

localrules: all
"""


def test_profile_runs_jobs_and_retries_with_more_memory(run_on_slurm, tmp_path: Path) -> None:
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(TOY)
    out = tmp_path / "out"
    run_on_slurm(["all"], None, "--snakefile", str(snakefile), "--config", f"out={out}")
    plain, grow = (int((out / name).read_text()) for name in ("plain.txt", "grow.txt"))
    assert plain > 0
    assert grow >= 3, "the second attempt was a job of its own, after the first two"


def test_a_tile_of_the_workflow(run_on_slurm, tmp_path: Path) -> None:
    """The tiny known sky, one day of it, to the image; convert, apply, image are one SLURM job."""
    content = yaml.safe_load((ROOT / "config" / "tiny.yaml").read_text())
    results = tmp_path / "results"
    content["results"] = str(results)
    content["catalog"] = str(results / "simulated" / "catalog.csv")
    content["discover"] = {"raw_dir": str(results / "raw"), "days": ["2025-10-05"]}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(content))
    printed = run_on_slurm(["tiles"], config)
    records = [json.loads(path.read_text()) for path in results.glob("images/*/*/*.json")]
    assert len(records) == 1
    assert records[0]["verdict"] != "fail", records[0]["reason"]
    assert "Group job tile" in printed
