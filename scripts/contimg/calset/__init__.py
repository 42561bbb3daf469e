"""Stage calset: looking at solved calibration sets, one, two, or all of a run."""
