"""What the arms of the back-translation experiment came to: differences with intervals, a table, a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moksori import atomic
from moksori_studies import bleu, pages

# Of each, the second is expected not to be better (Sennrich, Haddow and Birch 2016, tables 3 and 6).
QUESTIONS = (
    ("strong", "parallel"),
    ("null", "parallel"),
    ("strong", "null"),
    ("middle", "weak"),
    ("strong", "middle"),
    ("weak", "parallel"),
)
MEANING = {
    "parallel": "pairs only",
    "null": "`<null>` as source, encoder and attention frozen",
    "weak": "back-translated, weak reverse model",
    "middle": "back-translated, middling reverse model",
    "strong": "back-translated, strong reverse model",
}


@dataclass(frozen=True)
class Arm:
    """One way of learning, trained several times."""

    name: str
    seeds: list[int]
    test_bleu: list[float]
    train: list[float]  # cross-entropy at the end, nats a piece, of pairs trained on
    dev: list[float]
    curves: list[list[dict[str, float]]]
    counts: list[bleu.Counts]  # of every training, for the intervals


def read_arm(folder: Path, name: str, seeds: Sequence[int], references: Sequence[str]) -> Arm | None:
    """What is there of an arm; None if no training of it has ended."""
    done = [seed for seed in seeds if (folder / f"{name}.{seed}.json").exists()]
    found = [json.loads((folder / f"{name}.{seed}.json").read_text(encoding="utf-8")) for seed in done]
    said = [(folder / f"{name}.{seed}.test.txt").read_text(encoding="utf-8").split("\n")[:-1] for seed in done]
    if not done:
        return None
    return Arm(
        name,
        done,
        [one["test_bleu"] for one in found],
        [one["curve"][-1]["train"] for one in found],
        [one["curve"][-1]["dev"] for one in found],
        [one["curve"] for one in found],
        [bleu.counts(lines, references) for lines in said],
    )


def difference(one: Arm, other: Arm) -> dict[str, Any]:
    """How much better the one is, over the seeds that both have; positive is better."""
    both = [seed for seed in one.seeds if seed in other.seeds]
    mean, low, high = bleu.paired_interval(
        [one.counts[one.seeds.index(seed)] for seed in both],
        [other.counts[other.seeds.index(seed)] for seed in both],
        np.random.default_rng(0),
    )
    per_seed = [one.test_bleu[one.seeds.index(seed)] - other.test_bleu[other.seeds.index(seed)] for seed in both]
    return {"of": one.name, "against": other.name, "bleu": mean, "interval": [low, high], "per_seed": per_seed}


def summary(folder: Path, seeds: Sequence[int], references: Sequence[str]) -> dict[str, Any]:
    """Put everything a page needs into plain data, none of the text among it."""
    arms = {name: arm for name in MEANING if (arm := read_arm(folder, name, seeds, references)) is not None}
    reverse = json.loads((folder / "reverse.json").read_text(encoding="utf-8"))["stages"]
    base = read_arm(folder, "base", seeds, references)
    return {
        "sizes": json.loads((folder / "sizes.json").read_text(encoding="utf-8")),
        "signature": bleu.signature(),
        "n_test": len(references),
        "reverse": {stage: {key: one[key] for key in ("updates", "dev_bleu")} for stage, one in reverse.items()},
        "base": {} if base is None else {"test_bleu": base.test_bleu, "train": base.train, "dev": base.dev},
        "arms": {
            arm.name: {
                "seeds": arm.seeds,
                "test_bleu": arm.test_bleu,
                "train": arm.train,
                "dev": arm.dev,
                "curves": arm.curves,
            }
            for arm in arms.values()
        },
        "differences": [difference(arms[a], arms[b]) for a, b in QUESTIONS if a in arms and b in arms],
    }


def verdict(found: dict[str, Any]) -> str:
    """Say of a difference whether it is one."""
    low, high = found["interval"]
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


def report(found: dict[str, Any]) -> str:
    """Two tables of a summary: the arms, and the differences between them."""
    arms = []
    for name, arm in found["arms"].items():
        each = ", ".join(f"{score:.1f}" for score in arm["test_bleu"])
        train, dev = float(np.mean(arm["train"])), float(np.mean(arm["dev"]))
        reverse = found["reverse"].get(name)
        arms.append(
            [
                MEANING[name],
                "-" if reverse is None else f"{reverse['dev_bleu']:.1f}",
                f"**{np.mean(arm['test_bleu']):.1f}** ({each})",
                f"{train:.3f}",
                f"{dev:.3f}",
                f"{dev - train:.3f}",
            ]
        )
    head = ["arm", "BLEU of the reverse model", "BLEU (each seed)", "nats a piece: trained on", "dev", "gap"]
    differences = [
        [
            f"{one['of']} against {one['against']}",
            f"{one['bleu']:+.2f}",
            f"{one['interval'][0]:+.2f} to {one['interval'][1]:+.2f}",
            ", ".join(f"{value:+.2f}" for value in one["per_seed"]),
            verdict(one),
        ]
        for one in found["differences"]
    ]
    second = ["difference", "BLEU", "95 % interval", "each seed", "so"]
    return pages.table(head, arms) + "\n\n" + pages.table(second, differences)


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw the BLEU of each training, and the gap between dev set and training as it went."""
    figure, (left, right) = pages.panels(2)
    for i, (name, arm) in enumerate(found["arms"].items()):
        colour = pages.COLOURS[i % len(pages.COLOURS)]
        left.hlines(np.mean(arm["test_bleu"]), i - 0.3, i + 0.3, color=colour)
        left.plot([i] * len(arm["test_bleu"]), arm["test_bleu"], "o", color=colour, markersize=4)
        steps = [look["updates"] for look in arm["curves"][0]]
        gaps = [[look["dev"] - look["train"] for look in curve] for curve in arm["curves"]]
        right.plot(steps, np.mean(gaps, axis=0), "o-", color=colour, label=name, markersize=3)
    left.set_xticks(range(len(found["arms"])), list(found["arms"]))
    left.set_xlim(-0.6, len(found["arms"]) - 0.4)
    pages.label(left, "", "BLEU", "test set: each seed, mean")
    pages.label(right, "updates of the arm", "nats a piece", "dev set minus pairs trained on")
    pages.write_svg(figure, path)


def publish(found: dict[str, Any], name: str, page: Path) -> None:
    """Put the tables into a page, at the place of that name, and beside it the picture and the numbers."""
    pages.put(page, f"results {name}", report(found))
    stem = f"{page.stem}.{name}"
    draw(found, page.with_name(f"{stem}.svg"))
    atomic.write(page.with_name(f"{stem}.json"), (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
