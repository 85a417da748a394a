"""The stages of a dictionary, one file each (paper §3.2)."""
