"""Flux densities of many sources at once, by maximum likelihood, straight from visibilities."""
