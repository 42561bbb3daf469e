"""What an operator does: look at what went wrong, make it again, decide about products."""
