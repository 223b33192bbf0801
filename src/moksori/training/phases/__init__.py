"""What training does with a batch, phase by phase, and which phase a step belongs to."""
