"""Floor 3: from scores to sound, one sample after another."""
