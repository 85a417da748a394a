"""Layers whose results are the same on every machine."""
