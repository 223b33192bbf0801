"""Report: what an evaluation found, as data, words, pictures and pages."""
