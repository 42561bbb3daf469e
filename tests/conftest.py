"""Settings of all tests, and which of them stay together when several processes share them."""

import os
from pathlib import Path
from typing import Any

import pytest

# On a busy machine OpenBLAS's threads wait for each other a hundred times longer than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# the longest, so that they begin first
LONG = ("tests/workflow", "tests/truth/test_skies.py", "tests/truth/test_independent.py")


def group_of(nodeid: str) -> str:
    """Folders whose files share what is made once a session are one group; else each file is."""
    file = nodeid.split("::")[0]
    return next((folder for folder in SHARED if file.startswith(f"{folder}/")), file)


def sharing(tests: Path) -> tuple[str, ...]:
    """Folders below `tests` whose own fixtures are of the session."""
    made = sorted(tests.glob("*/conftest.py"))
    return tuple(
        f"tests/{file.parent.name}" for file in made if 'scope="session"' in file.read_text()
    )


SHARED = sharing(Path(__file__).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, then folders, then files: no process waits long for another."""
    items.sort(key=lambda item: _turn(group_of(item.nodeid)))


def _turn(group: str) -> int:
    if group in LONG:
        return LONG.index(group)
    return len(LONG) + group.endswith(".py")


# the hook is of xdist, which need not be there to run a single test
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each group stays on one process, as else each would make anew what is shared."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Grouped(config, log)
