"""Stage publish: copies of good products with checksums and the way they were made."""
