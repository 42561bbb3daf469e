"""Flagging: of subbands as they stream by, and of whole Measurement Sets."""
