"""Running CASA quietly: its data from the casadata package, no updates, no log files about."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contimg.core.scratch import not_removed

_CONFIG = """\
import casadata
measurespath = casadata.datapath
datapath = [casadata.datapath]
measures_auto_update = False
data_auto_update = False
nologfile = True
nologger = True
log2term = True
"""


@contextlib.contextmanager
def casa_session() -> Iterator[Path]:
    """Make ``import casatools`` work with any HOME, inside a scratch directory that is removed.

    Yields the scratch directory, which is the working directory meanwhile: paths handed to CASA
    must be absolute. Where it is removed by others, that is what is told.
    """
    with tempfile.TemporaryDirectory(prefix="contimg-casa-") as scratch:
        config = Path(scratch) / "casasiteconfig.py"
        config.write_text(_CONFIG)
        os.environ["CASASITECONFIG"] = str(config)
        with not_removed(Path(scratch)), contextlib.chdir(scratch):
            yield Path(scratch)
