"""What belongs to a run as a whole: its inventory and its plan."""
