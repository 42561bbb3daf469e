"""Constants of nature, exact by definition."""

C_M_S = 299_792_458.0  # speed of light
