"""A WaveNet at the speed of the processor: vector kernels compiled by numba for the machine at hand.

Read in this order: `cpu` (what the processor can do), `tile` (the register tile), `kernel` (the hot loop), `packing` (a
decoder laid out for it), `backend` (the same face as every other way to generate), `trial` (does it work here?).
Only `trial` may be imported where numba is missing.
"""
