"""What a stream says of references, and their latents (paper §3.2)."""
