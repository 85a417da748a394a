"""What an encoder decides: references, quality."""
