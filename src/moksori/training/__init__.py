"""Floor 4: phases, losses, the loop, and the recipe in which all settings meet."""
