"""Sources below the limit of the catalogue, from the tiles of many days added up."""
