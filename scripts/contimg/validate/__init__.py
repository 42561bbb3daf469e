"""Stage validate: what is wrong with data before anything runs."""
