"""Conditional Latent Matching and Synthesis (paper §3.3)."""
