"""The laws of the mixup share, drawn: why a Beta of 0.2 is a U and no bell.

    python benchmarks/mixup.py docs/mixup.svg

The density of Beta(a, a) as a line, and 20,000 shares as training draws them as bars, for a = 0.2, 1 and 5; the shares
within a tenth of an end are counted, for docs/mixup.md.
"""

from __future__ import annotations

import io
import math
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from moksori import atomic
from moksori.training.phases import mixup
from moksori.training.phases.mixup import MixupConfig

PARAMETERS = (0.2, 1.0, 5.0)
N_DRAWN = 20_000

Shares = npt.NDArray[np.float64]


def density(share: Shares, parameter: float) -> Shares:
    """The density of Beta(a, a)."""
    log_scale = 2 * math.lgamma(parameter) - math.lgamma(2 * parameter)
    return np.asarray(np.exp((parameter - 1) * (np.log(share) + np.log1p(-share)) - log_scale))


def main(path: Path) -> None:
    """Draw, and count."""
    mpl.rcParams["svg.hashsalt"] = "moksori"  # the same drawing every time
    picture = Figure(figsize=(9, 2.8), layout="constrained")
    shares = np.linspace(0.002, 0.998, 500)
    for place, parameter in enumerate(PARAMETERS, start=1):
        drawn = mixup.shares(MixupConfig(beta_parameter=parameter), N_DRAWN, np.random.default_rng(0))
        axes = picture.add_subplot(1, len(PARAMETERS), place)
        axes.hist(drawn, bins=40, range=(0, 1), density=True, color="#9ecae1")
        axes.plot(shares, density(shares, parameter), color="#b8432a", linewidth=1.6)
        axes.set(
            xlim=(0, 1), ylim=(0, 4), xlabel="share of the true singer", title=f"Beta({parameter:g}, {parameter:g})"
        )
        near = float(np.mean(np.minimum(drawn, 1 - drawn) < 0.1))
        print(f"| Beta({parameter:g}, {parameter:g}) | {near:.0%} | {density(np.array([0.5]), parameter)[0]:.3f} |")
    content = io.StringIO()
    picture.savefig(content, format="svg", metadata={"Date": None})
    atomic.write(path, re.sub(r"[ \t]+\n", "\n", content.getvalue()).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
