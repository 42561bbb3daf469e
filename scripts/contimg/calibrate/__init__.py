"""Delays, bandpasses and gains from a calibrator; their application to the tiles."""
