"""The environment in which the workflow's jobs run."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def without_locks() -> None:
    """Have HDF5 and casacore (in Python, in CASA, in WSClean) ask for no file locks.

    NFS and Lustre often have none and refuse; nothing here needs them, because a product is
    written by one job under a name of its own. What a user sets for casacore stays.
    """
    os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
    home = os.environ.get("HOME", "")
    usual = ":".join(f"{home}/{name}" for name in (".casarc", ".casa/rc", ".aipsrc"))
    ours = str(Path(__file__).parent / "core" / "casarc")
    files = os.environ.get("CASARCFILES") or usual
    if ours not in files.split(":"):  # of several the first one counts
        os.environ["CASARCFILES"] = f"{ours}:{files}"


def one_thread_each() -> None:
    """Keep matrix products to one thread unless told otherwise, as of the libraries loaded next.

    They are of a hundred antennas: threads of OpenBLAS wait for each other three times as long as
    they compute.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def prepare(base: str | Path) -> None:
    """Let jobs find the package and its command without installing either into their environment.

    `base` is the directory of the Snakefile. The interpreter that runs Snakemake comes before the
    system's; a conda environment of a rule comes before both. Libraries keep to one thread unless
    told otherwise: the jobs themselves run side by side.
    """
    scripts = Path(base) / "scripts"
    os.environ["PYTHONPATH"] = str(scripts)
    without_locks()
    folders = os.environ["PATH"].split(os.pathsep)
    for folder in (str(Path(sys.executable).parent), str(scripts / "bin")):
        if folder not in folders:
            folders.insert(0, folder)
    os.environ["PATH"] = os.pathsep.join(folders)
    one_thread_each()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
