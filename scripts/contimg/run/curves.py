"""Light curves after a run in which jobs crashed: of the mosaics there are.

Snakemake starts no job whose inputs one crashed job did not make, and light curves are made of all
mosaics. What only one group needs must not keep them from the others; the next run makes them
again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from contimg.config import Config, flags
from contimg.core.paths import path

_PROGRAM = Path(__file__).parents[2] / "bin" / "contimg"


def light_curves_of_what_there_is(config: Config, plan: str) -> bool:
    """Make the light curves where photometry is newer than they are; whether they were made."""
    results = config.results
    folder = Path(path("photometry", results, mosaic="x")).parent
    record = Path(path("lightcurves_record", results))
    newest = max((file.stat().st_mtime for file in folder.glob("*.json")), default=0.0)
    if newest == 0.0 or (record.exists() and record.stat().st_mtime > newest):
        return False
    outputs = {"table": "lightcurves", "epochs": "epochs", "plot": "lightcurves_plot"}
    words = [f"--{flag}={path(name, results)}" for flag, name in outputs.items()]
    words += [f"--record={record}", f"--photometry={folder}", f"--plan={plan}"]
    log = Path(path("log", results, rule="normalise_lightcurves", job="lightcurves"))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        words += shlex.split(flags(config, "lightcurves"))
        done = subprocess.run(
            [sys.executable, _PROGRAM, "lightcurves", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode == 0:
        print(f"{record}: light curves of the mosaics there are", file=sys.stderr)
    return done.returncode == 0
