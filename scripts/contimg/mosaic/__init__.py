"""Tiles to mosaics: a common beam, one grid, weights from noise and primary beam."""
