"""Looking at dictionaries: differences, pages, consistency."""
