"""A sequence into another of a different length and order, by an encoder and a decoder, with attention and without.

    python -m moksori_studies.translation

The language is `toy.translate_letters`: eight letters, each becomes one or two, and the first goes last.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch

from moksori import atomic
from moksori_studies import commands, pages, toy
from moksori_studies.seq2seq import Translator, TranslatorConfig
from moksori_studies.subwords import Subwords
from moksori_studies.training import batches, chance, numbered, train, translate

N_TRAIN, N_TEST = 4000, 500
_MAX_PIECES = 20


class Study:
    """The invented pairs, as text and as numbers."""

    def __init__(self, n_train: int = N_TRAIN, n_test: int = N_TEST, longest: int = 7, seed: int = 0) -> None:
        """Invent them."""
        train_pairs, self.test = toy.letters(n_train, n_test, random.Random(seed), longest)
        self.source = Subwords([a for a, _ in train_pairs], 0)
        self.target = Subwords([b for _, b in train_pairs], 0)
        self.pairs = numbered(train_pairs, self.source, self.target)
        self.test_pairs = numbered(self.test, self.source, self.target)

    def learn(self, has_attention: bool, n_updates: int, seed: int, width: int = 64) -> Translator:
        """Train a translator."""
        with chance(seed) as generator:
            model = Translator(TranslatorConfig(len(self.source), len(self.target), width, has_attention, 0.0))
            supply = batches(self.pairs, 32, generator)
            train(model, supply, n_updates, lambda step: 5e-3 * min((step + 1) / 50, 1 - step / n_updates))
        return model.eval()

    def exact(self, model: Translator, beam_width: int = 1) -> float:
        """Share of the test sentences, none of them trained on, that are translated without any fault."""
        if beam_width == 1:
            found = translate(model, [pair.source for pair in self.test_pairs], _MAX_PIECES)
        else:
            found = [model.beam(torch.tensor(p.source), _MAX_PIECES, beam_width) for p in self.test_pairs]
        return sum(said == pair.target for said, pair in zip(found, self.test_pairs, strict=True)) / len(found)

    def say(self, model: Translator, sentence: str) -> str:
        """Translate one sentence."""
        (pair,) = numbered([(sentence, "")], self.source, self.target)
        return self.target.decode(translate(model, [pair.source], _MAX_PIECES)[0])

    @torch.no_grad()
    def attention(self, model: Translator, sentence: str) -> tuple[list[str], list[str], torch.Tensor]:
        """Pieces of the source, pieces said, and how much each of these looked at each of those [said, source]."""
        assert model.decoder.attention is not None
        (pair,) = numbered([(sentence, "")], self.source, self.target)
        (said,) = translate(model, [pair.source], _MAX_PIECES)
        encoded = model.encoder(torch.tensor([pair.source]))
        # What the decoder has heard of itself when it says each piece: the start, and all but the last.
        before = torch.tensor([[1, *said[:-1]]])
        hidden, _ = model.decoder.recurrence(model.decoder.embedding(before), encoded.start)
        weights = model.decoder.attention.weights(hidden, encoded)[0]
        return [self.source.pieces[i] for i in pair.source], [self.target.pieces[i] for i in said], weights


def draw_attention(study: Study, model: Translator, sentence: str, path: Path) -> None:
    """Draw where the decoder looks while it speaks."""
    source_pieces, said, weights = study.attention(model, sentence)
    figure, (axis,) = pages.panels(1, 3.4, 3.2)
    axis.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(source_pieces)), source_pieces)
    axis.set_yticks(range(len(said)), said)
    pages.label(axis, "heard", "said", f"{sentence} → {study.say(model, sentence)}")
    pages.write_svg(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="translation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=600, help="of each training (600)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (3)")
    parser.add_argument(
        "--page", type=Path, help="put the table into this page, and beside it attention.svg and a .json"
    )
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found, study = [], Study()
    for has_attention in (False, True):
        for seed in range(asked.seeds):
            model = study.learn(has_attention, asked.updates, seed)
            exact = {"greedy": study.exact(model), "beam of 4": study.exact(model, 4)}
            found.append({"attention": has_attention, "seed": seed, **exact})
            print(found[-1], flush=True)
    print("\n" + report(found))
    if asked.page is not None:
        pages.put(asked.page, "results", report(found))
        draw_attention(study, model, "abdcfh", asked.page.with_name("attention.svg"))
        atomic.write(asked.page.with_name("translation.json"), (json.dumps(found, indent=1) + "\n").encode())


def report(found: Sequence[dict[str, float]]) -> str:
    """Make a table of the shares without fault: a row a kind of net, a number a seed."""
    rows = []
    for has_attention in (False, True):
        those = [one for one in found if one["attention"] == has_attention]
        shares = [", ".join(f"{100 * one[way]:.1f}" for one in those) for way in ("greedy", "beam of 4")]
        rows.append(["with" if has_attention else "without", *shares])
    return pages.table(["attention", "without fault, greedy, %", "beam of 4, %"], rows)


if __name__ == "__main__":
    commands.start(main)
