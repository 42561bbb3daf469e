"""Stage discover: which data exist, and which groups of them are wanted."""
