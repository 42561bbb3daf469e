"""What makes a group of the subband files: one definition for discovery and conversion."""
