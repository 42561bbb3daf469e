"""The web log: linked static pages about a results directory, opened from the disk."""
