"""Flux densities of a tile, fitted to its visibilities."""
