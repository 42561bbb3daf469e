"""Kill a small run again and again until it is whole, and compare it with one undisturbed.

``python -m faults.kills --work DIR --kills 500 --seed 1``; with ``--slurm`` in a SLURM of one node,
with ``--children`` only what jobs have started. Signals and moments are random and
seeded: SIGKILL of the head with all its jobs, of the head alone, of one job, of a process that a
job started (WSClean, a reader, a writer), SIGTERM and SIGINT of the head, and power cuts in the
middle of an opening, a write, an fsync or a renaming (storage.c). A run that comes to its end in
spite of them is compared, audited, and begun anew, until there are kills enough.

Compared are all products, raw files included, byte by byte. Exempt are what no two runs share:
``run`` of a record (times, host, memory); casacore's index files ``table.f*i``, which end in bytes
that it never sets, and so the hashes of whole tables in the ``seal`` of their record; marks of
readers (seals.EXEMPT). What is no product of a job with a record (logs, pages of the run, the
inventory, notes of runs) is left to the auditor.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from contimg.core.seals import EXEMPT
from faults.storage import POWER_CUT, Storage
from slurm import box

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {"logs", "benchmarks", "runs", "report", "inventory", ".snakemake"}
INDEX = re.compile(r"table\.f\d+i")
# how often a kill is of what kind
HOW = {
    "SIGKILL of one job": 45,
    "SIGKILL of a child of a job": 60,
    "SIGKILL of the head with its jobs": 3,
    "SIGKILL of the head alone": 1,
    "SIGTERM of the head": 2,
    "SIGINT of the head": 2,
}
PACE = (0.15, 1.0)  # kills follow each other quickly, or jobs get on; seconds on an idle machine
SPARED = 0.5  # of the children that are seen
CUTS = 0.5  # of the heads that are started, those that have the power cut at some call
CUT = ("open", "write", "fsync", "rename", "mkdir", "unlink")
_SECONDS = 600.0  # in which a head that was told to stop has stopped
BACKENDS = ("wsclean", "residual")
# on SLURM, whose jobs outlive the head: they are ended before the next start (docs/cluster.md)
HOW_SLURM = {
    "SIGKILL of one job": 10,
    "SIGKILL of a child of a job": 4,
    "scancel of one job": 5,
    "SIGKILL of the head alone": 2,
    "SIGTERM of the head": 1,
    "SIGINT of the head": 2,
}


def main() -> int:
    """Run undisturbed, run with kills, compare; 1 when anything differs."""
    parser = argparse.ArgumentParser(description="Kills of a small run.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--children", action="store_true", help="kill children of jobs alone")
    parser.add_argument("--slurm", action="store_true", help="under the profile slurm")
    parser.add_argument("--keep-ms", default="calibrated", help="as in the configuration")
    parser.add_argument("--go-on", action="store_true", help="take up what an earlier one left")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        slurm = stack.enter_context(box.running()) if given.slurm else None
        return campaign(given, slurm)


def campaign(given: argparse.Namespace, slurm: dict[str, str] | None) -> int:
    """The kills that were asked for; 1 when anything differs."""
    how = HOW if slurm is None else HOW_SLURM
    if given.children:
        how = {name: share for name, share in how.items() if "child" in name}
    rng, done, bad = random.Random(given.seed), Counter(), 0
    undisturbed: dict[str, dict[str, str]] = {}
    while done.total() < given.kills:
        backend = BACKENDS[len(undisturbed) % 2] if len(undisturbed) < 2 else rng.choice(BACKENDS)
        work = given.work.resolve() / backend
        config = configure(work, given.epochs, backend, given.keep_ms)
        trial = Trial(work, config, rng, how, slurm)
        if backend not in undisturbed:
            undisturbed[backend] = trial.undisturbed()
        if not (given.go_on and not done):
            trial.clear()
        while done.total() < given.kills and trial.disturbed(done, given.kills):
            pass
        trial.finish()
        bad += compared(trial.work, undisturbed[backend])
    of_kind: Counter[str] = Counter()
    for (how, _), number in done.items():
        of_kind[how] += number
    for title, counted in (("kill", of_kind), ("kill, while", done)):
        print(f"| {title} | number |\n|---|---|")
        for what, number in sorted(counted.items(), key=str):
            print(f"| {what if isinstance(what, str) else ', '.join(what)} | {number} |")
    print(f"{done.total()} kills, {bad} differences and findings")
    return int(bool(bad))


class Trial:
    """A small run in a folder of its own."""

    def __init__(
        self,
        work: Path,
        config: Path,
        rng: random.Random,
        how: dict[str, int],
        slurm: dict[str, str] | None,
    ) -> None:
        self.work, self.config = work, config
        self.rng, self.how, self.slurm = rng, how, slurm
        self.storage = Storage.in_folder(work)

    def clear(self) -> None:
        """As if nothing had ever run here."""
        for folder in ("results", "raw", ".snakemake"):
            shutil.rmtree(self.work / folder, ignore_errors=True)

    def undisturbed(self) -> dict[str, str]:
        """Products of a run that nothing disturbs; kept, for the next time."""
        kept = self.work / "undisturbed.json"
        if not kept.exists():
            self.clear()
            slurm, self.slurm = self.slurm, None  # wherever it runs, the products are the same
            self.finish()
            self.slurm = slurm
            kept.write_text(json.dumps(contents(self.work)))
        return json.loads(kept.read_text())

    def start(self, *more: str) -> psutil.Popen:
        """Snakemake, with a process group of its own; the lock of one that was killed is taken."""
        shutil.rmtree(self.work / ".snakemake" / "locks", ignore_errors=True)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.work), "--configfile", str(self.config)]
        command += ["--cores", "2", *more]
        environment = os.environ | self.storage.environment
        if self.slurm is not None:
            command += ["--profile", str(ROOT / "profiles/slurm"), "--jobs", "2", *box.FLAGS]
            environment = dict(self.slurm)
        environment["CONTIMG_RUN"] = str(self.work)
        with (self.work / "run.log").open("ab") as log:
            return psutil.Popen(
                command,
                cwd=self.work,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                # what is started in the background of a shell is deaf to SIGINT
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def finish(self) -> None:
        """Run to the end."""
        self.storage.heal()
        if self.start().wait():
            raise SystemExit(f"the run did not come to its end: {self.work}/run.log")

    def disturbed(self, done: Counter[tuple[str, str]], most: int) -> bool:
        """Start the head and kill until it is gone; False when it came to its end whole."""
        run = self.start("--retries", "50")  # a job that is killed is begun again at once
        if self.slurm is None and len(self.how) > 1 and self.rng.random() < CUTS:
            at = int(10 ** self.rng.uniform(0, 4))
            self.storage.fail(self.work / "results", CUT, POWER_CUT, at)
        pace = self.rng.choice(PACE)
        try:
            while run.poll() is None and done.total() < most:
                time.sleep(self.pause(pace))
                jobs = self.jobs()
                if run.poll() is None and jobs and (what := self.kill(run, jobs)):
                    done[what] += 1
                    print(f"kill {done.total()}: {', '.join(what)}", file=sys.stderr, flush=True)
            run.wait(timeout=_SECONDS)
        finally:
            self.end(run)
        cut = self.storage.hit
        self.storage.heal()
        if cut:
            where = place(cut.split(" ", 1)[1], self.work)
            done["power cut", where] += 1
            print(f"kill {done.total()}: power cut, {where}", file=sys.stderr, flush=True)
        return bool(run.returncode)

    def pause(self, pace: float) -> float:
        """Seconds to the next kill, more on a busy machine; children live for a short time."""
        if len(self.how) == 1:
            return self.rng.uniform(0.0, 0.4)
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        if self.slurm is not None:  # whose jobs begin slowly
            return self.rng.uniform(4.0, 10.0) * busy
        return self.rng.expovariate(1 / (pace * busy))

    def kill(self, run: psutil.Popen, jobs: dict[int, str]) -> tuple[str, str] | None:
        """One kill; what was done, and which rule ran."""
        how = self.rng.choices(list(self.how), list(self.how.values()))[0]
        pid = self.rng.choice(sorted(jobs))
        try:
            if how == "SIGKILL of one job":
                os.kill(pid, signal.SIGKILL)
            elif how == "scancel of one job":
                number = psutil.Process(pid).environ()["SLURM_JOB_ID"]
                subprocess.run(["scancel", number], env=self.slurm, check=True)
            elif how == "SIGKILL of a child of a job":
                children = [(job, child) for job in sorted(jobs) for child in children_of(job)]
                if not children or self.rng.random() < SPARED:
                    return None
                pid, victim = self.rng.choice(children)
                how += f" ({Path(victim.exe()).name.split('.')[0]})"
                victim.kill()
            elif how == "SIGKILL of the head with its jobs":
                os.killpg(run.pid, signal.SIGKILL)
            elif how == "SIGKILL of the head alone":
                run.kill()
            else:
                run.send_signal(getattr(signal, how.split()[0]))
        except (ProcessLookupError, psutil.Error, KeyError):
            return None
        if "head" in how:
            run.wait(timeout=_SECONDS)
        return how, jobs[pid]

    def end(self, run: psutil.Popen) -> None:
        """End what is left of a run, as tools/run.sh does before the next."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        if self.slurm is not None:
            subprocess.run(["scancel", "--user", getpass.getuser()], env=self.slurm, check=True)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("CONTIMG_RUN") == str(self.work):
                    process.kill()

    def jobs(self) -> dict[int, str]:
        """Processes of the jobs that run -> their rules."""
        found = {}
        for note in self.work.glob("results/logs/**/*.job"):
            with contextlib.suppress(OSError, ValueError, KeyError):  # being written, or gone
                content = json.loads(note.read_text())
                if "error" not in content and psutil.pid_exists(content["pid"]):
                    found[content["pid"]] = note.relative_to(self.work / "results/logs").parts[0]
        return found


def children_of(job: int) -> list[psutil.Process]:
    """What a job has started and waits for: programs, readers, writers; no shells."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(job).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if Path(child.exe()).name not in ("", "bash", "dash", "touch"):
                    found.append(child)
    return found


def configure(work: Path, epochs: int, backend: str, keep_ms: str) -> Path:
    """The tiny configuration, for a folder of its own."""
    config = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    config |= {"results": "results", "catalog": "results/simulated/catalog.csv"}
    config["keep_ms"] = keep_ms
    config["discover"]["raw_dir"] = "raw"
    config["plan"]["calibrators"] = str(ROOT / "config/calibrators.csv")
    config["image"]["backend"] = backend
    config["simulate"] |= {"epochs": epochs, "ese_mid_epoch": 0}
    work.mkdir(parents=True, exist_ok=True)
    target = work / "tiny.yaml"
    target.write_text(yaml.safe_dump(config))
    return target


def place(file: str, work: Path) -> str:
    """The folder of the results in which a file lies."""
    parts = Path(file).relative_to(work / "results").parts
    return f"writing of {parts[0] if parts else 'results'}"


def compared(work: Path, whole: dict[str, str]) -> int:
    """Number of products that differ, and 1 for an audit with findings; all are printed."""
    found = contents(work)
    differ = sorted(n for n in whole.keys() | found.keys() if whole.get(n) != found.get(n))
    for name in differ:
        print(f"differs: {work / name}", flush=True)
    audit = [sys.executable, str(ROOT / "tools/audit.py"), "results", "--raw", "raw"]
    audited = subprocess.run(audit, cwd=work, check=False).returncode
    print(f"{len(whole)} files compared, {len(differ)} differ", flush=True)
    return len(differ) + audited


def contents(work: Path) -> dict[str, str]:
    """Hash of every product, by its path."""
    return {file.relative_to(work).as_posix(): hashed(file) for file in products(work)}


def products(work: Path) -> Iterator[Path]:
    """All files that must be the same in any two runs."""
    for top in (work / "raw", work / "results"):
        for file in sorted(top.rglob("*")):
            if file.relative_to(top).parts[0] not in OTHERS and file.is_file() and is_product(file):
                yield file


def is_product(file: Path) -> bool:
    """Whether a file is the same in any two runs."""
    return file.name not in EXEMPT and not INDEX.fullmatch(file.name)


def hashed(file: Path) -> str:
    """Hash of a file; of a record, of what two runs share."""
    content = file.read_bytes()
    if file.suffix == ".json" and b'"run"' in content:
        record = json.loads(content)
        del record["run"]
        if seal := record.get("seal"):
            seal.pop("record")
            seal["products"] = {k: v for k, v in seal["products"].items() if "files" not in v}
        content = json.dumps(record).encode()
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
