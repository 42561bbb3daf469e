"""Kill a small run again and again, take it up again, and compare with one undisturbed.

``python -m faults.kills --work DIR --kills 20 --seed 1``. Signals and moments are random and
seeded: SIGKILL of the head with all its jobs, of one job alone, SIGTERM and SIGINT of the head.
Compared are all products but Measurement Sets and calibration tables (casacore's index files end
in bytes that it never sets) and records but for ``run`` and ``seal``; the auditor ends it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {"logs", "benchmarks", "runs", "report", "inventory", ".snakemake"}
HOW = ("head with its jobs", "one job", "SIGTERM", "SIGINT")


def main() -> int:
    """Run undisturbed, run with kills, compare; 1 when anything differs."""
    parser = argparse.ArgumentParser(description="Kills of a small run.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    work = given.work.resolve()
    config = configure(work, given.epochs)
    finish(work, config)
    whole = contents(work / "results")
    (work / "undisturbed.json").write_text(json.dumps(whole, indent=1))
    for folder in ("results", "raw", ".snakemake"):
        shutil.rmtree(work / folder, ignore_errors=True)
    rng = random.Random(given.seed)
    done = [kill(work, config, rng) for _ in range(given.kills)]
    finish(work, config)
    found = contents(work / "results")
    differ = sorted(n for n in whole.keys() | found.keys() if whole.get(n) != found.get(n))
    for name in differ:
        print(f"differs: {name}")
    audit = [sys.executable, str(ROOT / "tools/audit.py"), "results", "--raw", "raw"]
    audited = subprocess.run(audit, cwd=work, check=False).returncode
    counts = ", ".join(f"{done.count(how)} {how}" for how in sorted(set(done)))
    print(f"{given.kills} kills ({counts}): {len(whole)} products, {len(differ)} differ")
    return int(bool(differ) or audited != 0)


def configure(work: Path, epochs: int) -> Path:
    """The tiny configuration, for a folder of its own."""
    work.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    config |= {"results": "results", "catalog": "results/simulated/catalog.csv"}
    config["discover"]["raw_dir"] = "raw"
    config["plan"]["calibrators"] = str(ROOT / "config/calibrators.csv")
    config["simulate"] |= {"epochs": epochs, "ese_mid_epoch": 0}
    target = work / "tiny.yaml"
    target.write_text(yaml.safe_dump(config))
    return target


def start(work: Path, config: Path, *more: str) -> subprocess.Popen[bytes]:
    """Snakemake on `work`, with a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(work), "--configfile", str(config), "--cores", "2", *more]
    with (work / "run.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=work, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(work: Path, config: Path) -> None:
    """Run to the end; a run that was killed leaves a lock."""
    start(work, config, "--unlock").wait()
    if start(work, config).wait():
        raise SystemExit(f"the run did not come to its end: {work}/run.log")


def kill(work: Path, config: Path, rng: random.Random) -> str:
    """Start, wait for a random moment of a job, kill; what was done."""
    start(work, config, "--unlock").wait()
    run, how = start(work, config), rng.choice(HOW)
    while not (jobs := notes(work)) and run.poll() is None:
        time.sleep(0.05)
    time.sleep(rng.uniform(0, 6))
    jobs = notes(work) or jobs
    if run.poll() is not None:
        return "after the end"
    try:
        if how == "one job" and jobs:
            os.kill(rng.choice(jobs), signal.SIGKILL)
        elif how in ("SIGTERM", "SIGINT"):
            run.send_signal(getattr(signal, how))
        else:
            os.killpg(run.pid, signal.SIGKILL)
    except ProcessLookupError:
        how = "after the end"
    run.wait()
    return how


def notes(work: Path) -> list[int]:
    """Processes of the jobs that run."""
    found = []
    for note in work.glob("results/logs/**/*.job"):
        try:
            found.append(int(json.loads(note.read_text())["pid"]))
        except (OSError, ValueError, KeyError):
            continue  # it is being written, or gone
    return [pid for pid in found if alive([pid])]


def alive(pids: list[int]) -> bool:
    """Whether all of these processes are there."""
    return all(Path(f"/proc/{pid}").exists() for pid in pids)


def contents(results: Path) -> dict[str, str]:
    """Hash of every product, by its path."""
    found = {}
    for file in sorted(results.rglob("*")):
        parts = file.relative_to(results).parts
        table = any((parent / "table.dat").exists() for parent in file.parents)
        if not file.is_file() or parts[0] in OTHERS or table:
            continue
        content = file.read_bytes()
        if file.suffix == ".json" and b'"run"' in content:
            record = json.loads(content)
            kept = {k: v for k, v in record.items() if k not in ("run", "seal")}
            content = json.dumps(kept).encode()
        found["/".join(parts)] = hashlib.sha256(content).hexdigest()
    return found


if __name__ == "__main__":
    sys.exit(main())
