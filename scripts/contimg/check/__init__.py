"""Stage check: results held against what is known from elsewhere."""
