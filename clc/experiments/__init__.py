"""Experiments: several variants of the whole job under one budget, and the table that compares them."""
