"""The recipes of the image: one content, from what the checkout installs anywhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = (ROOT / "containers/Dockerfile").read_text()
APPTAINER = (ROOT / "containers/contimg.def").read_text()
SETUP = (ROOT / "tools/setup.sh").read_text()


def section(name: str) -> str:
    """A part of the definition of the Apptainer image."""
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", APPTAINER, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_both_begin_and_end_with_the_same() -> None:
    (base,) = re.findall(r"^FROM (.*)$", DOCKER, re.MULTILINE)
    assert re.findall(r"^From: (.*)$", APPTAINER, re.MULTILINE) == [base]
    files = re.findall(r"^COPY (\S+ \S+)$", DOCKER, re.MULTILINE)
    assert [line.strip() for line in section("files").strip().splitlines()] == files
    installed = [re.findall(r"apt-get install (.*?)(?: \\)?$", text, re.MULTILINE)
                 for text in (DOCKER, section("post"))]  # fmt: skip
    assert installed[0] == installed[1] != []
    for name in ("VENV", "PATH", "PYTHONNOUSERSITE", "LC_ALL"):
        (there,) = re.findall(rf"\b{name}=(\S+)", DOCKER)
        assert there in re.findall(rf"\b{name}=(\S+)", section("environment"))


def test_the_set_up_finds_what_it_reads() -> None:
    """The lock and its own folder. The code of a run is that of its checkout, never of an image."""
    copied = dict(line.split() for line in section("files").strip().splitlines())
    assert {Path(place).parent.as_posix() for place in copied.values()} == {"/opt/contimg"}
    assert set(copied) == {"requirements.lock", "tools"}
    assert all((ROOT / name).exists() for name in copied)
    assert set(re.findall(r"\brequirements\.\w+", SETUP)) == {"requirements.lock"}
    for text in (DOCKER, section("post")):
        assert "/opt/contimg/tools/setup.sh" in text


def test_programs_are_those_that_the_set_up_knows() -> None:
    (line,) = re.findall(r"apt-get install (.*)$", section("post"), re.MULTILINE)
    named = {word for word in line.split() if not word.startswith("-")}
    known = re.findall(r'setup_programs "[^"]*" "?([^"\n]*?)"? [a-z]+', SETUP)
    assert named == {"aoflagger"} <= {word for words in known for word in words.split()}


def test_the_workflow_names_the_image_that_the_recipe_says() -> None:
    (image,) = re.findall(r"^IMAGE = .*basedir}/(.*)\"$", (ROOT / "Snakefile").read_text(), re.M)
    assert f"apptainer build {image} containers/contimg.def" in APPTAINER
    assert (
        f"apptainer build {image} containers/contimg.def" in (ROOT / "docs/cluster.md").read_text()
    )
