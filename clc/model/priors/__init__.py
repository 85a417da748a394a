"""The prior path: from what is decoded to the distribution of what is next (paper eq. 7 and 8)."""
