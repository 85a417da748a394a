"""No block comes out destroyed: what the encoder checks, and what it codes otherwise."""
