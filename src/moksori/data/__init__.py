"""Floor 2: singers' folders, splits, segments and batches. Knows no model."""
