"""Disks that fail while a stage works: full, read-only, broken, over quota, stale, slow, cut off.

Each stage's command is taken from the record of a finished run and is run again, in a copy of it,
while calls of one kind below the results fail from a random one on. An outcome is ``identical``
(right products: the stage could do without), ``detected`` (an error that names file, reason and
remedy, nothing is there that is not whole, and the same command makes the right products
afterwards), or one of the bad ones.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from contimg.cli import find_verb, main
from contimg.core import seals
from contimg.core.isolate import ReaderError, isolated
from faults.commands import words_of
from faults.kills import hashed, is_product
from faults.storage import DELAY, FOREVER, POWER_CUT, Storage

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path("results/tiny")  # as the commands of the run name it
STAGES = {
    "convert": "ms/*/*.json",
    "solve": "cal/*/*/solutions.json",
    "inspect": "cal/*/*/*.inspection.json",
    "calibrated tile": "calibrated/*/???????????????.json",
    "photometry tile": "photometry/tiles/*/*.json",
    "image": "images/*/*/*.json",
    "mosaic": "mosaics/*/*5.json",
    "photometry": "photometry/*.json",
    "lightcurves": "lightcurves/lightcurves.json",
    "publish": "published/*.json",
}
# what the disk says -> the calls it may say it to
ERRORS = {
    errno.ENOSPC: ("open", "write", "mkdir"),
    errno.EDQUOT: ("open", "write", "mkdir"),
    errno.EROFS: ("open", "mkdir", "rename"),
    errno.EIO: ("open", "write", "fsync", "rename", "open to read", "read"),
    errno.ESTALE: ("open", "write", "rename", "open to read", "read"),
    errno.ENOLCK: ("lock",),
    POWER_CUT: ("open", "write", "rename", "mkdir", "unlink"),
    DELAY: ("open", "write", "rename", "open to read", "read"),
}
ENDED = -1  # the status of a command that came to no end
_SECONDS = 180.0


@dataclass
class Stage:
    """A command of a run, what it makes, and how many calls of each kind it makes."""

    words: list[str]
    folder: Path
    whole: dict[str, str]
    calls: dict[str, int]


class Disks:
    """A copy of a finished run, on a disk that fails as told."""

    def __init__(self, results: Path, work: Path, only: str = "*") -> None:
        self.storage, copy = Storage.of_this_process(), work / "copy"
        self.kept, self.said = work / "kept", work / "said"
        shutil.copytree(results, copy / RESULTS)
        (copy / "config").symlink_to(ROOT / "config")
        os.chdir(copy)
        # of the run's backend and method there may be stages less
        there = [n for n in STAGES if fnmatch(n, only) and any(RESULTS.glob(STAGES[n]))]
        # before any of them runs again, as its records then have the command of this process
        words = {name: words_of(self._record(name), RESULTS, RESULTS) for name in there}
        self.stages = {name: self._stage(name, words[name]) for name in there}

    def _record(self, name: str) -> Path:
        return min(RESULTS.glob(STAGES[name]))

    def _stage(self, name: str, words: list[str]) -> Stage:
        """A stage, after it ran once undisturbed; this process is warm from then on."""
        record = self._record(name)
        folder = record.parent / record.stem if name == "publish" else record.parent
        stage = Stage(words, folder, {}, {})
        self._remove(stage)
        self.storage.count(Path.cwd() / RESULTS)
        status, said = ran(words)
        if status:
            raise SystemExit(f"{name} does not run again: {said}")
        stage.calls |= self.storage.counted
        self.storage.heal()
        stage.whole |= self._made(stage)
        self._copied(stage, Path("."), self.kept)
        return stage

    def _copied(self, stage: Stage, source: Path, target: Path) -> None:
        """Copy the products of a stage from one place to another."""
        for product in self._paths(stage):
            new = target / product
            new.parent.mkdir(parents=True, exist_ok=True)
            if (source / product).is_dir():
                shutil.copytree(source / product, new, dirs_exist_ok=True)
            elif (source / product).exists():
                shutil.copy2(source / product, new)

    def outcome(self, name: str, error: int, call: str, rng: np.random.Generator) -> str:
        """What becomes of a stage when a disk says `error` to the n-th `call`."""
        stage = self.stages[name]
        number = stage.calls[call]
        if not number:
            return "identical"  # it makes no such call
        at = int(10 ** rng.uniform(0, np.log10(number + 1)))
        once = error in (errno.EIO, errno.ESTALE) and rng.random() < 0.5
        self._remove(stage)
        self.storage.fail(
            Path.cwd() / RESULTS,
            (call,),
            error,
            at,
            times=1 if once else 200 if error == DELAY else FOREVER,
            delay_us=10_000 if error == DELAY else 0,
        )
        try:
            status, said = isolated(ran, stage.words, self.said, timeout_s=_SECONDS)
        except ReaderError as ended:
            if "no answer" in str(ended):
                return "hang"
            # by the power cut, or by casacore, which aborts where it cannot flush
            status, said = ENDED, self.said.read_text()
        finally:
            self.storage.heal()
        hit = self.storage.hit.partition(" ")[2]
        found = self._judge(stage, status, said, hit, error)
        self._remove(stage)
        self._copied(stage, self.kept, Path("."))
        return found if found in ("identical", "detected") else f"{found} [{call} {at}: {hit}]"

    def _judge(self, stage: Stage, status: int, said: str, hit: str, error: int) -> str:
        if not hit and status == 0:
            return "identical"  # the call did not come, this time
        if status == ENDED:
            return self._ended(stage, said, error)
        left = self._left(stage)
        made = self._made(stage)
        if status == 0 and left:
            return f"wrong: left behind: {left}"
        if status == 0:
            return "identical" if made == stage.whole else f"wrong: {_unlike(made, stage.whole)}"
        if "Traceback" in said:
            return f"traceback: {said[-1500:]}"
        if not _named(said, stage, hit, error):
            return f"traceback: no name, reason or remedy: {said[-1500:]}"
        half = {file for file, seal in made.items() if stage.whole.get(file) != seal}
        if half:
            return f"wrong: not whole: {half}"
        # a disk that is away lets nobody clean up: the next run does
        return self._again(stage) if made or left else "detected"

    def _ended(self, stage: Stage, said: str, error: int) -> str:
        """What becomes of a stage that was killed, or that a library aborted and said why."""
        told = os.strerror(error) in said and str(RESULTS) in said
        if error != POWER_CUT and not told:
            return f"traceback: aborted, and nothing said: {said[-1500:]}"
        return self._again(stage)

    def _again(self, stage: Stage) -> str:
        """Whether the same command makes the right products afterwards, and leaves nothing else."""
        try:
            status, said = isolated(ran, stage.words, self.said, timeout_s=_SECONDS)
        except ReaderError as ended:
            return f"wrong: not made again: {ended}: {self.said.read_text()[-500:]}"
        whole = not status and self._made(stage) == stage.whole and not self._left(stage)
        return "detected" if whole else f"wrong: not made again: {said}"

    def _made(self, stage: Stage) -> dict[str, str]:
        """The products of a stage that are there."""
        files = [file for product in self._paths(stage) for file in (product, *product.rglob("*"))]
        return {str(file): hashed(file) for file in files if file.is_file() and is_product(file)}

    def _remove(self, stage: Stage) -> None:
        for product in self._paths(stage):
            if product.is_dir():
                shutil.rmtree(product)
            else:
                product.unlink(missing_ok=True)

    def _paths(self, stage: Stage) -> list[Path]:
        """What the command names as its products and its record."""
        from contimg.cli import build_parser, load, read

        verb = find_verb(stage.words)
        assert verb is not None
        command = load(verb)
        namespace = build_parser(verb).parse_args(stage.words[len(verb.split()) :])
        files, _ = read(command, namespace)
        found = command.products(files)
        return [*found, getattr(files, command.record)] if command.record else found

    def _left(self, stage: Stage) -> list[str]:
        folders = {path.parent for path in self._paths(stage)}
        return [str(p) for folder in folders for p in folder.glob("*.partial-*")]


def ran(words: list[str], log: Path | None = None) -> tuple[int, str]:
    """(status, what it said) of a command, with no memory of what was verified before.

    What libraries say is put into `log`.
    """
    seals._checked.clear()
    if log is not None:
        os.setsid()  # a power cut takes this group
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 2)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status = main(words)
    except Exception as error:  # noqa: BLE001  (what must not be is what is counted here)
        text = "".join(traceback.format_exception(error))
        return 1, f"{said.getvalue()[-500:]} {text}"
    return status, said.getvalue()


_WORDS = ("crashed with status", "number of bytes read", "disk full", "casacore's words")


def _named(said: str, stage: Stage, hit: str, error: int) -> bool:
    """Whether a message names a file of the stage, or that of the call, the reason, a remedy."""
    files = [str(stage.folder), str(RESULTS)]  # the disk may fail for another one as well
    files += [hit, os.path.relpath(hit)] if hit else []
    remedy = any(word in said for word in ("make room", "run again", "elsewhere", "mount"))
    # another program may keep the reason to itself
    reason = os.strerror(error) in said or any(words in said for words in _WORDS)
    return any(file in said for file in files) and reason and remedy


def _unlike(made: dict[str, str], whole: dict[str, str]) -> list[str]:
    return sorted(f for f in made.keys() | whole.keys() if made.get(f) != whole.get(f))[:5]


def campaign(
    results: Path, numbers: range, seed: int, work: Path, table: dict[str, Counter], only: str = "*"
) -> None:
    """Faults of the disk by number, over the stages `only`, all errors and calls; to `table`."""
    from faults.campaign import note

    results = results.absolute()
    disks = Disks(results, work, only)
    asked = [(error, call) for error, calls in ERRORS.items() for call in calls]
    kinds = [(stage, *pair) for pair in asked for stage in disks.stages]
    order = np.random.default_rng(seed).permutation(len(kinds))
    for count in numbers:
        stage, error, call = kinds[order[count % len(kinds)]]
        found = disks.outcome(stage, error, call, np.random.default_rng([seed, count]))
        what = {DELAY: "slow", POWER_CUT: "power cut"}.get(error) or errno.errorcode[error]
        if found not in ("identical", "detected"):
            print(f"  {stage}: {what}", file=sys.stderr)
        note(table, f"disk: {what}", found, count)
