"""Floor 6: one file a verb: parse, one call, a printed result."""
