"""Flagging of a whole Measurement Set by CASA and by AOFlagger."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from contimg.core.casa import casa_session
from contimg.core.errors import ContimgError
from contimg.core.plain import plain
from contimg.flag.options import FlagOptions

STRATEGY = Path(__file__).parents[3] / "config/aoflagger/dsa110.lua"


def tfcrop(ms: Path, options: FlagOptions) -> None:
    """CASA: outliers from fits to every baseline's amplitudes in time and in frequency."""
    _flagdata(
        ms,
        mode="tfcrop",
        timecutoff=options.tfcrop_time_sigma,
        freqcutoff=options.tfcrop_frequency_sigma,
        timefit="line",
        freqfit="poly",
        maxnpieces=5,
        winsize=3,
    )


def rflag(ms: Path, options: FlagOptions) -> None:
    """CASA: samples amid too much scatter, in time and in frequency."""
    _flagdata(
        ms,
        mode="rflag",
        timedevscale=options.rflag_time_scale,
        freqdevscale=options.rflag_frequency_scale,
    )


def _flagdata(ms: Path, **parameters) -> None:
    with casa_session():
        from casatasks import flagdata

        flagdata(
            vis=plain(ms),
            datacolumn="DATA",
            action="apply",
            extendflags=False,
            flagbackup=False,
            **parameters,
        )


def aoflagger(ms: Path, options: FlagOptions) -> None:
    """AOFlagger with our strategy, or with the one that the options name."""
    program = shutil.which("aoflagger")
    if program is None:
        raise ContimgError(
            "flag step aoflagger: no program aoflagger on PATH (Debian: apt install aoflagger);"
            " install it or choose another flag.strategy"
        )
    strategy = (options.aoflagger_strategy or STRATEGY).resolve()
    if not strategy.exists():
        raise ContimgError(f"flag.aoflagger_strategy: no file {strategy}")
    settings = {
        "base_threshold": options.aoflagger_threshold,
        "iterations": options.aoflagger_iterations,
        "transient_factor": options.aoflagger_transient,
        "frequency_resize": options.aoflagger_frequency_resize,
    }
    preamble = " ".join(f"{name} = {value};" for name, value in settings.items())
    words = [program, "-strategy", strategy, "-preamble", preamble, "-column", "DATA"]
    words += ["-j", options.aoflagger_threads, plain(ms)]
    result = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    # it exits with 0 after errors in the strategy
    output = result.stdout + result.stderr
    if result.returncode != 0 or "error" in output.lower():
        raise ContimgError(f"aoflagger {strategy.name} on {ms}: {output.strip()[-600:]}")


PROGRAMS: dict[str, Callable[[Path, FlagOptions], None]] = {
    "tfcrop": tfcrop,
    "rflag": rflag,
    "aoflagger": aoflagger,
}
