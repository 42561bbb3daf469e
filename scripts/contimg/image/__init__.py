"""From a calibrated tile to images, with the primary beam of its drift."""
