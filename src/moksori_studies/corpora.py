"""Parallel text from files: sentences and their translations."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import DataError

SentencePair = tuple[str, str]  # source, target


@dataclass(frozen=True)
class Corpus:
    """Pairs to learn from, to watch while learning, and to be tested with at the end."""

    name: str
    train: list[SentencePair]
    dev: list[SentencePair]
    test: list[SentencePair]


def read_multi30k(folder: Path) -> Corpus:
    """German into English: captions of pictures (Elliott et al. 2016), lower-cased; both test sets of 2016 and 2017.

    Args:
        folder: holds train, val, test_2016_flickr and test_2017_flickr, each as `.de.gz` and `.en.gz`.
    """

    def part(name: str) -> list[SentencePair]:
        return read_aligned(folder / f"{name}.de.gz", folder / f"{name}.en.gz")

    return Corpus(
        "Multi30k, German to English", part("train"), part("val"), part("test_2016_flickr") + part("test_2017_flickr")
    )


def read_korean(folder: Path) -> Corpus:
    """Korean into English: everyday sentences of Tatoeba and news (Park, Hong and Cha 2016), lower-cased and shuffled.

    Args:
        folder: holds `tatoeba.en-ko.tsv` and `korean-news/korean-english-park.{dev,test}.{en,ko}`.
    """
    news = folder / "korean-news"
    pairs = [(korean, english) for english, korean in read_table(folder / "tatoeba.en-ko.tsv")]
    for name in ("dev", "test"):
        pairs += read_aligned(news / f"korean-english-park.{name}.ko", news / f"korean-english-park.{name}.en")
    # A sentence often stands there with several translations; all of them go to one side of the split.
    random.Random(0).shuffle(pairs)
    first: dict[str, SentencePair] = {}
    for pair in pairs:
        first.setdefault(pair[1], pair)
    unique = list({pair[0]: pair for pair in first.values()}.values())
    return Corpus("Tatoeba and news, Korean to English", unique[800:], unique[:400], unique[400:800])


def read_aligned(source: Path, target: Path) -> list[SentencePair]:
    """Two files of as many lines, plain or `.gz`; pairs of which one side is empty are left out.

    Raises:
        DataError: a file is not there, is not text, or the files have different numbers of lines.
    """
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines, {target} has {len(targets)}: line by line they should be translations "
            "of each other; fetch both again"
        )
    return [(a, b) for a, b in zip(sources, targets, strict=True) if a and b]


def read_table(path: Path) -> list[SentencePair]:
    """A file of Tatoeba as manythings.org gives it: sentence, translation, attribution, with tabulators between.

    Raises:
        DataError: the file is not there, is not text, or a line has fewer than two columns.
    """
    pairs = []
    for i, line in enumerate(_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise DataError(
                f"{path}, line {i}: expected a sentence, a tabulator and its translation, got {line[:40]!r}"
            )
        pairs.append((columns[0].strip(), columns[1].strip()))
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [line.strip().lower() for line in raw.decode("utf-8").splitlines()]
    except FileNotFoundError:
        raise DataError(
            f"{path} is not there; docs/studies/back-translation.md says where the text comes from"
        ) from None
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}); fetch it again") from None
