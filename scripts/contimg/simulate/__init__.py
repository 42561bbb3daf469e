"""Known skies: raw files as the instrument writes them, with the truth that is in them."""
