"""Measures: plain values in, a number out; each checks its input, measures by frame, and makes scores of it."""
