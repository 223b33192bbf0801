"""What is written down of a training run: events, journal, TensorBoard, held-out figures and samples."""
