"""Floor 5: figures on held-out recordings."""
