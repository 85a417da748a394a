"""What an image retrieves from a dictionary."""
