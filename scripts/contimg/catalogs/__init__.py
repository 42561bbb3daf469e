"""Public catalogues as source tables; the only part of the package that needs a network."""
