"""Stage export: the results in the formats of other programs and archives."""
