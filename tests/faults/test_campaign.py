"""A sample of the fault campaign: nothing comes out wrong, nothing ends in a traceback."""

from __future__ import annotations

from faults.sample import sample


def test_a_sample_of_raw_faults():
    sample(["--raw", "8", "--seed", "20261129"], faults=8)
