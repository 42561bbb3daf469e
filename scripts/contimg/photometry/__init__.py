"""Flux densities at catalogue positions, with errors that hold."""
