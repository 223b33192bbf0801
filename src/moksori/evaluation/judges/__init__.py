"""Judges: who is singing, and which vowels; nets of our own and public ones, none of which meets the model."""
