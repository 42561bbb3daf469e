"""From a group of UVH5 files to one flagged Measurement Set with one phase centre."""
