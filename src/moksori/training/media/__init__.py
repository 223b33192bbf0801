"""Media: what training asks of a kind of model, one module for each kind."""
