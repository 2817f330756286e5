"""What a run keeps in its folder, and what it tells meanwhile."""
