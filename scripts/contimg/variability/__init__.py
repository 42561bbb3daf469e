"""Light curves on a common scale, how they vary, and the search for extreme scattering events."""
