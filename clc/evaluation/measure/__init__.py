"""Photos × codecs × qualities → results."""
