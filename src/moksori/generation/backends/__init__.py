"""Ways to compute the next sample with torch, on a CPU or a GPU; the slow definition among them."""
