"""Checks against what is known from elsewhere."""
