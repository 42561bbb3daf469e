"""Stage plan: what is to be made of the groups."""
