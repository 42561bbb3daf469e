"""One whole run of the tiny known sky through Snakemake, killed on its way and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from workflow.forked import Forked

ROOT = Path(__file__).parents[2]
SNAKEMAKE = (sys.executable, "-m", "snakemake")


class Run:
    """A results directory of its own and Snakemake commands on it."""

    def __init__(self, directory: Path, forked: Forked) -> None:
        self.forked = forked
        self.results = directory / "results"
        config = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
        config["results"] = str(self.results)
        config["catalog"] = f"{self.results}/simulated/catalog.csv"
        config["discover"]["raw_dir"] = str(directory / "raw")
        config["plan"]["calibrators"] = str(ROOT / "config/calibrators.csv")
        self.decisions = directory / "decisions.csv"
        self.decisions.write_text("product,decision,reason\n")
        config["publish"] = {"overrides": str(self.decisions)}
        self.configfile = directory / "tiny.yaml"
        self.configfile.write_text(yaml.safe_dump(config))
        self.directory = directory

    def command(self, *arguments: str) -> list[str]:
        return [
            *(*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(self.directory), "--configfile", str(self.configfile)),
            *arguments,
        ]

    def snakemake(self, *arguments: str) -> str:
        """Run to the end; everything it printed. Fails the test if Snakemake fails."""
        words = self.command(*arguments)[len(SNAKEMAKE) :]
        status, output = self.forked.snakemake(words, self.directory / "snakemake.txt")
        assert status == 0, output[-6000:]
        return output

    def contimg(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb on the results, as a person types it."""
        command = [sys.executable, str(ROOT / "scripts/bin/contimg"), *words]
        command += ["--results", str(self.results)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    def crash(self, rule: str, *arguments: str) -> tuple[int, subprocess.CompletedProcess[str]]:
        """Kill -9 the job of `rule` as it begins; Snakemake's exit status, and `status` before."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while not (notes := list(self.results.glob(f"logs/{rule}/**/*.job"))):
            assert process.poll() is None, f"the run ended before {rule} began"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        job = json.loads(notes[0].read_text())["pid"]
        os.kill(job, signal.SIGSTOP)  # long enough to be looked at
        seen = self.contimg("status", "--json")
        os.kill(job, signal.SIGKILL)
        return process.wait(), seen

    def kill_when(self, pattern: str) -> None:
        """Start a run and kill -9 it with its jobs when a file of this pattern has appeared."""
        process = subprocess.Popen(
            self.command("--cores", "2"),
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 600
        while not list(self.results.glob(pattern)):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, f"no {pattern} within ten minutes"
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """What carries out the commands of Snakemake that are neither killed nor of two at once."""
    waiting = Forked()
    yield waiting
    waiting.end()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory, forked) -> Run:
    """A run of which nothing exists yet."""
    return Run(tmp_path_factory.mktemp("plan"), forked)


@pytest.fixture(scope="session")
def plan_before(fresh) -> str:
    """What `snakemake -n` prints when nothing exists."""
    return fresh.snakemake("-n")


@pytest.fixture(scope="session")
def run(tmp_path_factory, forked) -> Run:
    """The finished run."""
    made = Run(tmp_path_factory.mktemp("tiny"), forked)
    made.kill_when("images/*/*/*.json")
    made.snakemake("--unlock")
    made.snakemake("--cores", "2")
    return made
