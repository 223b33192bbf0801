"""Here so that tests in the folders below may import from those that stand beside it."""
