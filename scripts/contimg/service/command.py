"""``contimg serve``: the results of a folder over HTTP, and runs of the workflow as jobs."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.operate.decide import table_of


class ServeFiles(Files):
    """What is served, and where."""

    results: str = Field("results", description="results directory")
    port: int = Field(8110, ge=0, le=65535, description="port (0: any that is free)")
    host: str = Field("127.0.0.1", description="address to listen at; others than this one see all")
    token_file: Path | None = Field(
        None, description="file with the token that writes need (a new one is printed if unset)"
    )
    cores: int | None = Field(
        None, ge=1, description="cores of its runs (as the last run if unset)"
    )
    candidate_decisions: Path | None = Field(
        None, description="table of decisions on candidates (report.candidate_decisions of the run)"
    )


def run(files: ServeFiles) -> None:
    """Serve until it is interrupted."""
    try:
        import uvicorn

        from contimg.service.app import create
    except ImportError as error:
        raise ContimgError(
            f"the service needs {error.name}: pip install 'contimg[serve]'"
        ) from None
    if not Path(files.results).is_dir():
        raise ContimgError(f"{files.results}: no such results directory")
    token = _token(files.token_file)
    decisions = files.candidate_decisions
    if decisions is not None:
        decisions = table_of("report.candidate_decisions", decisions, files.results)
    hosts = ("127.0.0.1", "localhost", "[::1]", files.host)
    app = create(
        files.results,
        token,
        cores=files.cores,
        decisions=decisions,
        hosts=("*",) if files.host == "0.0.0.0" else hosts,
    )
    print(f"serving {files.results} at http://{files.host}:{files.port}/", flush=True)
    uvicorn.run(app, host=files.host, port=files.port, log_level="warning", server_header=False)


def _token(file: Path | None) -> str:
    """The token of a file that only its owner reads, or a new one, printed."""
    if file is None:
        token = secrets.token_urlsafe(24)
        print(f"token for writes: {token}", flush=True)
        return token
    try:
        token = file.read_text().strip()
    except OSError as error:
        raise ContimgError(f"{file}: no token there ({error.strerror})") from None
    if len(token) < 16:
        raise ContimgError(f"{file}: a token has at least 16 characters")
    if os.stat(file).st_mode & 0o077:
        raise ContimgError(f"{file}: others can read it; chmod 600 {file}")
    return token


COMMAND = Command(
    help="Serve the results over HTTP: pages, tables, images, and the workflow as jobs.",
    files=ServeFiles,
    options=(),
    run=run,
    by_hand=True,
)
