"""Floor 2: torch modules; each file holds its own frozen Config."""
