"""What several stages share: conventions, formulae and file handling. Knows no stage."""
