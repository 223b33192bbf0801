"""Preparing very many recordings: the bytes of before, and memory that their measurements do not fill.

What a recording's sound would say is invented from the bytes of its file, so thousands take seconds.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moksori.data import clips, stretches
from moksori.data import corpus as corpora
from moksori.data.corpus import Corpus, Recording, Skipped
from moksori.data.index import Rows
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.data.sources import Source
from moksori.data.splits import KnownSplits, Listed
from moksori.errors import DataError

CONFIG = PrepareConfig(sample_rate=16000, workers=1)
N_STRETCHES = 3  # of a file whose name begins with "long"


def recording_of(source: Source, content: bytes, number: int | None, split: str, n_regions: int) -> Recording:
    """A recording, or a stretch of one, as a measured one might be."""
    stream = hashlib.shake_256(content + bytes([0 if number is None else number])).digest(4 * (3 * n_regions + 4))
    few, many = np.split(np.frombuffer(stream, "<u4").astype(int), [4])  # of no library's chance
    edges = np.cumsum(1 + many[: 2 * n_regions] % (16000 * 60 // (2 * n_regions) - 1)).tolist()
    regions = tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True))
    voiced = bool(few[0] % 4)
    return Recording(
        singer=source.singer,
        source=source.name if number is None else stretches.name_of(source.name, list(regions), 16000),
        path=clips._clip_path(source, number),
        split=split,
        n_samples=16000 * 60,
        seconds=60.0,
        sung_seconds=float(few[1] % 60_000 / 1000),
        regions=regions,
        source_sha256=hashlib.sha256(content).hexdigest(),
        audio_sha256=hashlib.sha256(b"sound" + content + (b"" if number is None else bytes([number]))).hexdigest(),
        gain_db=round(float(few[2] % 9000 / 1000 - 3), 3),
        peak_dbfs=-1.0,
        clipped_fraction=0.0,
        noise_dbfs=-60.5,
        f0_low_hz=200.0 if voiced else None,
        f0_median_hz=300.25 if voiced else None,
        f0_high_hz=400.0 if voiced else None,
        remarks=('소리가 작다: "quiet"',) if few[3] % 2 else (),
        notes=tuple((300 + 5 * i, int(1 + many[2 * n_regions + i] % 900)) for i in range(n_regions)) if voiced else (),
    )


def invent(monkeypatch: pytest.MonkeyPatch, n_regions: int = 3) -> None:
    """Measure nothing; a clip is a word."""

    def run(self: Any, source: Source) -> Any:
        content = source.path.read_bytes()
        if b"silence" in content:
            return Skipped(source.name, "0.00 s of singing")
        numbers: list[int | None] = list(range(N_STRETCHES)) if source.path.name.startswith("long") else [None]
        splits = ["train"] if numbers == [None] else ["train", "validation", "test"]
        made = [recording_of(source, content, n, s, n_regions) for n, s in zip(numbers, splits, strict=True)]
        for recording in made:
            path = self._out / recording.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"a clip")
        clips.sidecar_path(self._out, source).write_text("{}", encoding="utf-8")
        whole = hashlib.sha256(b"sound" + content).hexdigest()
        return clips.Clips(source.name, whole, tuple(made))

    monkeypatch.setattr(clips.ClipMaker, "run", run)


def write_songs(folder: Path, n_singers: int, n_songs: int, first: int = 0) -> None:
    """Songs of many singers; some are doubles, of one singer or two, some long, some silent."""
    for singer in range(n_singers):
        (folder / f"singer {singer:03d}").mkdir(parents=True, exist_ok=True)
        for song in range(first, first + n_songs):
            content = f"song {song} of {singer}"
            if song % 7 == 3:
                content = f"song {song - 1} of {singer}"
            if song % 11 == 5 and singer:
                content = f"song {song} of {singer - 1}"
            if song % 13 == 6:
                content = f"silence {song}"
            name = f"{'long' if song % 5 == 4 else 'take'} {song:04d}.wav"
            (folder / f"singer {singer:03d}" / name).write_text(content, encoding="utf-8")


def hashes(folder: Path) -> str:
    """One SHA-256 of a folder's files, by name and content."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


@pytest.mark.parametrize("large_bytes", [1, 1 << 40], ids=["with an index", "without one"])
def test_a_folder_has_the_bytes_of_before(large_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program wrote when it held all recordings in memory, in four preparations of one folder."""
    monkeypatch.setattr(corpora, "LARGE_BYTES", large_bytes)
    invent(monkeypatch)
    songs, data = tmp_path / "songs", tmp_path / "data"
    found = []

    def prepared(**changes: Any) -> Corpus:
        listed = changes.pop("listed", None)
        corpus = prepare(songs, data, dataclasses.replace(CONFIG, **changes), listed=listed)
        assert isinstance(corpus.recordings, Rows) == (large_bytes == 1)
        assert corpus == Corpus.load(data) and corpus.fingerprint == Corpus.load(data).fingerprint
        assert corpus.training_ranges == Corpus.load(data).training_ranges
        found.append(hashes(data))
        return corpus

    write_songs(songs, 4, 30)
    prepared(rights="소리의 주인이 허락했다")
    write_songs(songs, 6, 20, first=25)  # more come
    prepared(workers=3)
    for path in sorted(songs.rglob("*.wav"))[::3]:  # and go
        path.unlink()
    (songs / "singer 001").rename(songs / "singer 009")
    prepared()
    (songs / "singer 009" / "new.wav").write_text("new", encoding="utf-8")
    first = next(r for r in Corpus.load(data).recordings if "#" not in r.source and r.split == "validation")
    listed = {"singer 009/new.wav": "test", first.source: "validation"}
    prepared(listed=Listed(tmp_path / "list.csv", listed))
    with pytest.raises(DataError, match="1 recordings were for something else"):
        prepare(songs, data, CONFIG, listed=Listed(tmp_path / "list.csv", {first.source: "train"}))
    assert [one[:16] for one in found] == BEFORE[large_bytes]


BEFORE = {  # by the size of a large manifest
    1: ["c7baa0ee8aa5bf8e", "dff98d302c45c424", "f637504ed2a2585c", "8d79f6f75c02b217"],
    1 << 40: ["214b8f385e85e87a", "023cbfc0ad008acd", "158654ff4bab4787", "7abbfef6174cffd5"],
}


def most_bytes(folder: Path, n_songs: int) -> int:
    """Memory that a preparation of so many songs takes at most, beside what there was."""
    for singer in range(n_songs // 50):
        (folder / f"songs/{singer:03d}").mkdir(parents=True)
        for song in range(50):
            (folder / f"songs/{singer:03d}/{song:04d}.wav").write_text(f"{singer} {song}", encoding="utf-8")
    gc.collect()
    tracemalloc.start()
    try:
        prepare(folder / "songs", folder / "data", CONFIG)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_four_times_the_recordings_take_hardly_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurements of one of these recordings are 18 kB in memory: 150 more would be 2.7 MB."""
    monkeypatch.setattr(corpora, "LARGE_BYTES", 1)
    monkeypatch.setattr("moksori.data.threads._MOST_AHEAD", 8)
    invent(monkeypatch, n_regions=100)
    few, many = most_bytes(tmp_path / "few", 50), most_bytes(tmp_path / "many", 200)
    assert many - few < 150 * 2500


def test_known_splits_are_those_of_the_singer_or_of_whoever_sang_last() -> None:
    known = KnownSplits()
    for singer, sound, split in (("a", "x", "train"), ("b", "x", "test"), ("a", "y", "train"), ("a", "y", "test")):
        known.put(singer, sound, split)
    assert [known.of(singer, "x") for singer in "abc"] == ["train", "test", "test"]
    assert known.of("c", "z") is None and known.among("c", ["z", "y"]) == {"y": "test"}
    assert sorted(known) == [("a", "x", "train"), ("a", "y", "test"), ("b", "x", "test")]
