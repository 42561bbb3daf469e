"""One reader for every table a person brings: sources, calibrators, antennas.

``formats`` reads a file into columns with the units that the file declares, ``units`` turns
columns into the quantities that the workflow wants, ``content`` holds the columns and says where
in the file something is wrong.
"""
