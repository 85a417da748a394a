"""Public datasets: manifests, downloads, and what lies on disk."""
