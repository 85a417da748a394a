"""How the filter that blends pictures with their references was trained."""
