"""Sound itself: clips, files, codes, levels, rates, spectra, pitch. No weights, no corpus, no settings files."""
