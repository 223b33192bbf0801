"""Whole songs through a model, in pieces that memory can hold."""
