"""The engine's own trial by itself: a line of JSON for each precision, with its error beside torch.

python benchmarks/trial.py
python benchmarks/emulated.py trial     # on an emulated processor with AVX-512
"""

from __future__ import annotations

from moksori.generation.engine import trial

if __name__ == "__main__":
    trial.main()
