"""Snakemake in processes that have imported it already: its imports are most of a dry run.

A process that has imported Snakemake and what the rules import waits for command lines, and a copy
of it (fork) carries each out. Nothing of one is seen by the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
# what Snakemake and rules/common.smk import; a name that is missing costs time and nothing else
MODULES = ("snakemake.cli", "snakemake.api", "pandas", "astropy.time", "scipy.spatial")
MODULES += ("contimg.dependencies", "contimg.run.start", "contimg.run.tables", "contimg.run.kept")


class Forked:
    """The waiting process."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def snakemake(self, arguments: list[str], output: Path) -> tuple[int, str]:
        """Exit status and all that ``snakemake`` with these arguments printed, by way of a file."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps([arguments, str(output)]) + "\n")
        stdin.flush()
        return int(stdout.readline()), output.read_text()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Carry out command lines until the input ends; a line with the exit status of each."""
    for name in MODULES:
        import_module(name)
    for line in sys.stdin:
        arguments, output = json.loads(line)
        if (child := os.fork()) == 0:
            _carry_out(arguments, output)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _carry_out(arguments: list[str], output: str) -> NoReturn:
    stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(stream, number)
    os.chdir(ROOT)
    from snakemake import cli

    sys.argv = [str(Path(cli.__file__).with_name("__main__.py")), *arguments]
    status = 1
    try:
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
