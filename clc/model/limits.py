"""Numbers that networks and streams agree on. Reading them needs no PyTorch."""

TILE_SIZE = 256
"""Pixels along each side of a tile, and of a dictionary's entries."""
MAX_REFERENCES = 5
"""References of a tile or an image at most."""
QUALITY_MIN, QUALITY_MAX = 1.0, 100.0
QUALITY_STEPS = 100
"""Qualities are stored in steps of 1/QUALITY_STEPS."""
