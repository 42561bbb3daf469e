"""The profiles: readable by Snakemake, and each says only what is its own to say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PROFILES = ("default", "slurm")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option_of_snakemake(name: str) -> None:
    options = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    assert set(read(name)) <= options


def test_site_and_workflow_share_no_key() -> None:
    assert not set(read("default")) & set(read("slurm"))


@pytest.mark.parametrize("name", PROFILES)
def test_incomplete_products_are_never_kept(name: str) -> None:
    assert "keep-incomplete" not in read(name)


def test_profile_is_found_by_its_name() -> None:
    assert (ROOT / "slurm" / "profile.yaml").samefile(ROOT / "profiles" / "slurm" / "profile.yaml")
