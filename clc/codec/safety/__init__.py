"""The safety net: the encoder checks every block against JPEG, and codes otherwise what fails."""
