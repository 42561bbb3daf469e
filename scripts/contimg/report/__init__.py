"""Stage report: what became of everything, as a table and as a page to read."""
