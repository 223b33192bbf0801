"""Reading parallel text, and refusing what is none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from moksori.errors import DataError
from moksori_studies.corpora import read_aligned, read_korean, read_multi30k, read_table


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_two_files_are_read_line_beside_line_and_lower_cased(tmp_path: Path) -> None:
    source = write(tmp_path / "a.de.gz", ["Ein Hund.", "", "Zwei Hunde."])
    target = write(tmp_path / "a.en", ["A dog.", "nothing", "Two dogs."])
    assert read_aligned(source, target) == [("ein hund.", "a dog."), ("zwei hunde.", "two dogs.")]


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a", ["x"] * 3), write(tmp_path / "b", ["y"] * 2)
    with pytest.raises(DataError, match=r"a has 3 lines, .*b has 2"):
        read_aligned(source, target)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.de\.gz is not there; docs/studies/back-translation\.md"):
        read_multi30k(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"not compressed"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("a.gz" if content.startswith(b"not") else "a")
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as UTF-8 text"):
        read_aligned(path, path)


def test_a_compressed_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", ["word"] * 100)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        read_aligned(path, path)


def test_a_line_of_a_table_without_translation_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", ["Go.\tLos.\tfrom somewhere", "alone"])
    with pytest.raises(DataError, match="line 2: expected a sentence, a tabulator"):
        read_table(path)


def test_no_korean_sentence_nor_its_translation_stands_on_two_sides_of_the_split(tmp_path: Path) -> None:
    # "English" with several translations, and a translation of several: both occur in Tatoeba.
    rows = [f"english {i // 2}\tkorean {i % 1700}\tby somebody" for i in range(3000)]
    write(tmp_path / "tatoeba.en-ko.tsv", rows)
    for part in ("dev", "test"):
        for language in ("en", "ko"):
            write(
                tmp_path / f"korean-news/korean-english-park.{part}.{language}",
                [f"{language} {part} {i}" for i in range(9)],
            )
    corpus = read_korean(tmp_path)
    parts = (corpus.train, corpus.dev, corpus.test)
    assert [len(corpus.dev), len(corpus.test)] == [400, 400] and len(corpus.train) > 100
    for side in (0, 1):
        sentences = [{pair[side] for pair in part} for part in parts]
        assert sum(map(len, sentences)) == len(set.union(*sentences)) == sum(map(len, parts))
    assert {pair[0].split()[0] for pair in corpus.train} == {"korean", "ko"}  # Korean is the source
