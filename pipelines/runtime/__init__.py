"""Servers, locks, retries and logs around the flows."""
