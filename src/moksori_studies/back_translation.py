"""Three ways to learn a language from text without translations (Sennrich, Haddow and Birch 2016, sections 3 and 4).

There are some pairs of sentences, and more sentences in the target language alone. From the same beginning, a
translator trained on the pairs, each arm goes on for the same number of updates:

    parallel   the pairs only
    null       every second batch: sentences of the target language behind the source `<null>`; encoder and attention
               are frozen
    weak       every second batch: sentences of the target language behind their translation by a reverse model, which
    middle     was itself trained on the same pairs; three stages of its training
    strong

The target side is always what people wrote; only the input may be made up. This is how Moksori's second phase works,
too: the input is a conversion, what is to be said is the recording.

    python -m moksori_studies.back_translation toy -o runs/toy                           minutes, no data needed
    python -m moksori_studies.back_translation multi30k FOLDER-OF-MULTI30K -o runs/text  half an hour of one core
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from moksori import atomic
from moksori.errors import UserError
from moksori_studies import bleu, commands, comparison, corpora, toy
from moksori_studies.seq2seq import Translator, TranslatorConfig
from moksori_studies.subwords import END, NULL, Subwords
from moksori_studies.training import (
    Batch,
    Pair,
    alternating,
    batches,
    chance,
    cross_entropy_of,
    numbered,
    train,
    translate,
)

ARMS = ("parallel", "null", "weak", "middle", "strong")
STAGES = ("weak", "middle", "strong")


@dataclass(frozen=True)
class Sizes:
    """How much text, how large a model, how long."""

    n_parallel: int  # pairs
    n_monolingual: int  # sentences of the target language alone
    n_merges: int = 1500  # sub-words a language, letters not counted
    width: int = 128
    dropout: float = 0.1
    batch_size: int = 32
    base_updates: int = 600  # on the pairs, the beginning of every arm
    arm_updates: int = 300
    reverse_updates: tuple[int, int, int] = (225, 450, 900)  # of the weak, the middle, the strong reverse model
    learning_rate: float = 3e-3
    watch_every: int = 150  # updates between two looks at the dev set
    watch_sentences: int = 500  # of the dev set, and as many of the pairs trained on
    max_pieces: int = 50  # of a translation; longer pairs are not trained on
    seeds: tuple[int, ...] = (0, 1, 2)


_SHORT = {"base_updates": 400, "arm_updates": 200, "reverse_updates": (100, 200, 400), "watch_every": 100}
SIZES = {
    "multi30k": Sizes(n_parallel=6_000, n_monolingual=8_000),
    "korean": Sizes(2_500, 2_500, n_merges=1000, width=96, max_pieces=30, **_SHORT),  # type: ignore[arg-type]
    "toy": Sizes(n_parallel=800, n_monolingual=4_000, n_merges=500, width=64, **_SHORT),  # type: ignore[arg-type]
}


def read(name: str, folder: Path | None) -> corpora.Corpus:
    """Read the text of a name.

    Raises:
        UserError: it needs a folder, and none is given.
    """
    if name == "toy":
        return toy.Language(random.Random(1)).corpus(4_800, 500, random.Random(2))
    if folder is None:
        raise UserError(f"the text {name} needs the folder it lies in; name it after {name!r}, or take the text 'toy'")
    return corpora.read_multi30k(folder) if name == "multi30k" else corpora.read_korean(folder)


class Experiment:
    """The text, its vocabularies, and a folder in which what is done stays done."""

    def __init__(self, corpus: corpora.Corpus, sizes: Sizes, folder: Path, say: Callable[[str], None] = print) -> None:
        """Learn the sub-words of the pairs.

        Raises:
            UserError: too few pairs, or the folder holds an experiment of other sizes.
        """
        n = sizes.n_parallel + sizes.n_monolingual
        if len(corpus.train) < n:
            raise UserError(
                f"{corpus.name}: {len(corpus.train)} pairs to train on, but {n} are asked for; ask for fewer"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.corpus, self.sizes, self.folder, self.say = corpus, sizes, folder, say
        described = json.loads(json.dumps({"corpus": corpus.name, **asdict(sizes), "seeds": None}))
        if self._read("sizes") not in (None, described):
            raise UserError(f"{folder} holds an experiment of other sizes; name another folder, or delete it")
        self._write("sizes", described)

        parallel = corpus.train[: sizes.n_parallel]
        self.source = Subwords([a for a, _ in parallel], sizes.n_merges)
        self.target = Subwords([b for _, b in parallel], sizes.n_merges)
        self.parallel = self._short(numbered(parallel, self.source, self.target))
        self.dev = numbered(corpus.dev, self.source, self.target)
        self.test = numbered(corpus.test, self.source, self.target)
        self.monolingual = [b for _, b in corpus.train[sizes.n_parallel : n]]

    def run(self) -> None:
        """Do what is not there yet: the reverse model; for each seed its beginning and its arms, two of them last."""
        self.reverse()
        for arms in (("parallel", "null", "strong"), ("weak", "middle")):
            for seed in self.sizes.seeds:
                for arm in arms:
                    self.arm(arm, seed)

    def reverse(self) -> None:
        """Train from target to source, and let each stage translate the sentences that have no source."""
        if self._read("reverse") is not None:
            return
        sizes = self.sizes
        pairs = [Pair([*pair.target, END], pair.source[:-1]) for pair in self.parallel]
        dev = [Pair([*pair.target, END], pair.source[:-1]) for pair in self.dev]
        sources = [[*self.target.encode(sentence), END] for sentence in self.monolingual]
        stages: dict[str, Any] = {}
        began = time.process_time()

        def watch(step: int, loss: float) -> None:
            if step not in sizes.reverse_updates:
                return
            stage = STAGES[sizes.reverse_updates.index(step)]
            said = [self.source.decode(found) for found in translate(model, [p.source for p in dev], sizes.max_pieces)]
            stages[stage] = {
                "updates": step,
                "dev_bleu": bleu.bleu(said, [a for a, _ in self.corpus.dev]),
                "dev_cross_entropy": cross_entropy_of(model, dev),
                "examples": said[:3],
            }
            made = [self.source.decode(found) for found in translate(model, sources, sizes.max_pieces)]
            self._write_lines(f"synthetic.{stage}", made)
            self.say(f"reverse model, {stage}: {step} updates, dev BLEU {stages[stage]['dev_bleu']:.1f}")

        with chance(99) as generator:
            model = Translator(TranslatorConfig(len(self.target), len(self.source), sizes.width, True, sizes.dropout))
            train(model, batches(pairs, sizes.batch_size, generator), max(sizes.reverse_updates), self._warm, watch)
        self._write("reverse", {"stages": stages, "cpu_seconds": time.process_time() - began})

    def base(self, seed: int) -> Translator:
        """The beginning of every arm of a seed: a translator trained on the pairs."""
        sizes = self.sizes
        path = self.folder / f"base.{seed}.safetensors"
        with chance(seed) as generator:
            model = Translator(TranslatorConfig(len(self.source), len(self.target), sizes.width, True, sizes.dropout))
            if path.exists():
                model.load_state_dict(load_file(path))
                return model
            supply = batches(self.parallel, sizes.batch_size, generator)
            self._train(model, supply, f"base.{seed}", sizes.base_updates, self._warm)
        atomic.write(path, save(dict(model.state_dict())))
        return model

    def arm(self, name: str, seed: int) -> None:
        """Go on from the beginning in one of the ways, with half of the batches of another kind or none."""
        sizes = self.sizes
        if self._read(f"{name}.{seed}") is not None:
            return
        model = self.base(seed)
        with chance(1000 + seed) as generator:
            supply = batches(self.parallel, sizes.batch_size, generator)
            if name != "parallel":
                other = torch.Generator().manual_seed(2000 + seed)
                supply = alternating(supply, batches(self.added(name), sizes.batch_size, other))
            self._train(
                model,
                supply,
                f"{name}.{seed}",
                sizes.arm_updates,
                lambda step: self._warm(step) * (1 - step / sizes.arm_updates),
            )

    def added(self, name: str) -> list[Pair]:
        """The sentences without a source, behind what the arm gives them for one."""
        targets = [self.target.encode(sentence) for sentence in self.monolingual]
        if name == "null":
            sources = [[NULL]] * len(targets)
        else:
            sources = [[*self.source.encode(line), END] for line in self._read_lines(f"synthetic.{name}")]
        return self._short([Pair(a, b) for a, b in zip(sources, targets, strict=True)])

    def _short(self, pairs: list[Pair]) -> list[Pair]:
        return [pair for pair in pairs if max(len(pair.source), len(pair.target)) <= self.sizes.max_pieces]

    def _train(
        self,
        model: Translator,
        supply: Iterator[Batch],
        name: str,
        n_updates: int,
        learning_rate: Callable[[int], float],
    ) -> None:
        """Train, look at the dev set now and then, translate the test set, write down what came out."""
        curve: list[dict[str, float]] = []
        began = time.process_time()
        n = self.sizes.watch_sentences

        def watch(step: int, loss: float) -> None:
            if step % self.sizes.watch_every == 0 or step == n_updates:
                look = {
                    part: cross_entropy_of(model, pairs[:n])
                    for part, pairs in (("train", self.parallel), ("dev", self.dev))
                }
                curve.append({"updates": step, **look})

        train(model, supply, n_updates, learning_rate, watch)
        found = translate(model, [pair.source for pair in self.test], self.sizes.max_pieces)
        said = [self.target.decode(pieces) for pieces in found]
        score = bleu.bleu(said, [b for _, b in self.corpus.test])
        self._write_lines(f"{name}.test", said)
        self._write(
            name,
            {"test_bleu": score, "curve": curve, "n_updates": n_updates, "cpu_seconds": time.process_time() - began},
        )
        self.say(
            f"{name}: test BLEU {score:.2f}, train {curve[-1]['train']:.3f}, dev {curve[-1]['dev']:.3f} nats a piece"
        )

    def _warm(self, step: int) -> float:
        """Rise for 100 updates, then stay."""
        return self.sizes.learning_rate * min(1.0, (step + 1) / 100)

    def _write(self, name: str, found: dict[str, Any]) -> None:
        atomic.write(self.folder / f"{name}.json", (json.dumps(found, ensure_ascii=False, indent=1) + "\n").encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def _write_lines(self, name: str, lines: list[str]) -> None:
        atomic.write(self.folder / f"{name}.txt", "".join(line + "\n" for line in lines).encode())

    def _read_lines(self, name: str) -> list[str]:
        return (self.folder / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="back_translation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", choices=sorted(SIZES), help="toy is invented, and needs no folder")
    parser.add_argument("folder", type=Path, nargs="?", help="where the text lies")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for the results; what is there is kept"
    )
    parser.add_argument("--page", type=Path, help="put the tables into this page, and beside it picture and numbers")
    parser.add_argument("--place", help="name of the place in the page, if it is not that of the text")
    parser.add_argument("--seeds", type=int, help="trainings of each arm")
    sizes = ("n_parallel", "n_monolingual", "base_updates", "arm_updates", "batch_size", "width")
    for name in sizes:
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    asked = parser.parse_args(arguments)
    changed = {name: getattr(asked, name) for name in sizes if getattr(asked, name) is not None}
    if asked.seeds is not None:
        changed["seeds"] = tuple(range(asked.seeds))
    bleu.refuse_missing()  # before minutes of training
    torch.set_num_threads(1)  # more would wait for one another: the nets are small
    corpus = read(asked.text, asked.folder)
    experiment = Experiment(
        corpus, replace(SIZES[asked.text], **changed), asked.output, lambda line: print(line, flush=True)
    )
    experiment.run()
    found = comparison.summary(asked.output, experiment.sizes.seeds, [target for _, target in corpus.test])
    print("\n" + comparison.report(found))
    if asked.page is not None:
        comparison.publish(found, asked.place or asked.text, asked.page)


if __name__ == "__main__":
    commands.start(main)
