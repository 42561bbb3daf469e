"""What the main process of Snakemake does before the jobs: lock, plan, judge again.

Only a run that will make something writes: ``snakemake -n``, ``--summary``, ``--dag``,
``--report``, ``--unlock`` and the like leave every byte below the results as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from contimg.config import Config
from contimg.core.disk import free_bytes
from contimg.core.errors import ContimgError
from contimg.core.objects import published_files
from contimg.core.paths import path
from contimg.plan.estimate import estimate
from contimg.report import runs
from contimg.run.judge import judge_again
from contimg.run.options import OPTIONS
from contimg.run.refresh import refresh

# arguments with which Snakemake looks, cleans or writes elsewhere and runs no job
_LOOKS = (
    *("dryrun", "touch", "containerize", "report", "generate_unit_tests", "dag", "rulegraph"),
    *("filegraph", "d3dag", "unlock", "cleanup_metadata", "conda_cleanup_envs", "lint"),
    *("conda_create_envs_only", "list_conda_envs", "cleanup_shadow", "list_changes"),
    *("container_cleanup_images", "list_input_changes", "list_params_changes", "list_rules"),
    *("list_untracked", "summary", "detailed_summary", "archive", "delete_all_output"),
    *("delete_temp_output", "list_target_rules", "list_resources", "print_compilation"),
)
_LEAST_PART = 0.2  # of what is expected; the estimate is no better than a factor of a few
_held: list[IO[str]] = []  # the lock lives as long as this process


def runs_jobs(argv: Sequence[str]) -> bool:
    """Whether ``snakemake`` with these arguments (of `sys.argv`) and its profiles runs jobs.

    One that was not started by its command line (from a program, by a test) is taken to look.
    """
    from snakemake.cli import parse_args

    if Path(argv[0]).name not in {"snakemake", "__main__.py"}:
        return False
    with contextlib.redirect_stderr(io.StringIO()):  # the names of the profiles, once more
        _, given = parse_args(list(argv[1:]))
    looks = any(getattr(given, name, None) for name in _LOOKS)
    return not looks and given.executor not in {"dryrun", "touch"}


def start(config: Config, *, write: bool) -> dict[str, Any]:
    """The plan of a run; with `write` it is put on disk, and nobody else runs in the results."""
    place = other_place(config.results)
    if write:
        if place:
            raise ContimgError(place)
        hold(config.results)
    elif place:
        print(f"run: {place}", file=sys.stderr)
    for line in withdraw_broken(config.results, write=write):
        print(f"publish: {line}", file=sys.stderr)
    sections = [getattr(config, model.section) for model in OPTIONS]
    plan = refresh(config.results, *sections, write=write)
    for line in judge_again(config, write=write):
        print(f"judge: {line}", file=sys.stderr)
    if write and (line := check_space(config, plan)):
        print(f"run: {line}", file=sys.stderr)
    if write:
        os.utime(path("plan", config.results, plan=plan["plan"]))  # that of the latest run
    return plan


def check_space(config: Config, plan: dict[str, Any]) -> str:
    """What to say when what is yet to be made may not find room; empty when it will.

    :class:`ContimgError` when there is not room for a fifth of it.
    """
    made = sum(
        Path(path("image_record", config.results, group=tile, tier=config.image.tier)).exists()
        for tile in plan["tiles"]
    )
    left = 1 - made / max(len(plan["tiles"]), 1)
    expected = estimate(
        plan, Path(config.results) / "benchmarks", 1, config.keep_ms, config.one_pass
    )
    folder, free = free_bytes(Path(config.results))
    if (needed := left * expected.disk_bytes) <= free:
        return ""
    said = (
        f"about {needed / 1e9:.3g} GB of products are to be made, on the disk of {folder}"
        f" {free / 1e9:.3g} GB are free; make room, set keep_ms: none, or select fewer days"
    )
    if free < _LEAST_PART * needed:
        raise ContimgError(said)
    return said


def withdraw_broken(results: str, *, write: bool) -> Iterator[str]:
    """Take away the manifests of publications that have lost files, so that they are made again."""
    for manifest in sorted(Path(results).glob("published/*/manifest.json")):
        names = [entry["name"] for entry in published_files(manifest)]
        lost = [name for name in names if not (manifest.parent / name).exists()]
        if lost:
            yield f"{manifest.parent}: {', '.join(lost)} gone: published again by the next run"
            if write:
                manifest.unlink()


def other_place(results: str) -> str:
    """What is wrong with running here when earlier runs on `results` were started elsewhere.

    Snakemake keeps what each product was made with (options, code, inputs) below its working
    directory, by the names of the products: from another one, or with the results named otherwise,
    it would take everything for up to date. Empty when all is well.
    """
    last = runs.latest(results)
    if last is None or not Path(last["directory"]).is_dir():
        return ""
    named = last["config"]["results"]
    if Path(last["directory"]) == Path.cwd() and named == results:
        return ""
    return (
        f"{results}: earlier runs were started in {last['directory']} with results: {named};"
        " Snakemake knows only there, and by that name, what the products were made with:"
        f" start it there, or with --directory {last['directory']}"
    )


def hold(results: str) -> None:
    """Wait until no other run works in `results`, and keep others out while this one lives.

    Runs take turns, so that each product is made once and what is made of all of them (light
    curves, report) is made of everything that is there. Where the file system knows no locks, two
    runs are not told apart, and it is said.
    """
    target = Path(path("run_lock", results))
    target.parent.mkdir(parents=True, exist_ok=True)
    stream = target.open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        who = stream.read().strip() or "another run"
        print(f"run: {who} works in {results}; this run begins when it ends", file=sys.stderr)
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        print(
            f"run: {target}: no locks here ({error.strerror}): start no second run", file=sys.stderr
        )
        stream.close()
        return
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {platform.node()}\n")
    stream.flush()
    os.set_inheritable(stream.fileno(), False)
    _held.append(stream)
