"""From raw files to a calibrated tile in one pass, without the Measurement Set between."""
