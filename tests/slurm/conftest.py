"""SLURM in a box (box.py), for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from slurm import box

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which sbatch and its kin talk to a running one-node SLURM."""
    if missing := box.missing():
        pytest.skip(f"no SLURM here: {', '.join(missing)} not found (slurm-wlm and munge)")
    if " " in sys.executable:
        pytest.skip("Snakemake's plug-in for SLURM does not quote the path of the interpreter")
    with box.running() as environment:
        yield environment


@pytest.fixture(scope="session")
def run_on_slurm(
    slurm: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """``run(targets, configfile, *more)``: the checkout's workflow under its SLURM profile."""

    def run(targets: Sequence[str], configfile: Path | None, *more: str, timeout: int = 900) -> str:
        """What Snakemake printed; the test fails when Snakemake does."""
        command = [sys.executable, "-m", "snakemake", *targets, "--profile", "slurm"]
        if configfile is not None:
            command += ["--configfile", str(configfile)]
        command += box.FLAGS
        command += ["--slurm-logdir", str(tmp_path_factory.mktemp("slurm-logs"))]
        result = subprocess.run(
            [*command, *more],
            cwd=ROOT,
            env=slurm,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == 0, result.stdout[-8000:]
        return result.stdout

    return run
