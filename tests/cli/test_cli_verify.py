"""`moksori convert --mark` and `moksori verify`, as they are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from calling import Moksori

import moksori as package
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions

RATE = 24_000


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = np.arange(9 * RATE) / RATE
    pitch = 220.0 * 2 ** (np.floor(times * 2) % 5 / 12)
    tone = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / RATE) / k for k in range(1, 13))
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, 0.1 * np.asarray(tone) * np.sin(np.pi * (times * 2 % 1)) ** 0.3, RATE)
    return path


def test_a_conversion_says_what_it_is_and_carries_the_mark_if_asked(
    moksori: Moksori, song: Path, tmp_path: Path
) -> None:
    for name, more in {"plain": [], "marked": ["--mark"], "own": ["--mark-key", "secret"]}.items():
        for suffix in ("flac", "wav"):
            done = moksori("convert", song, "-s", "kumi", "-o", tmp_path / f"{name}.{suffix}", *more)
            assert done.code == 0, done.err
    answer = {}
    for name in ("plain", "marked", "own"):
        done = moksori("verify", tmp_path / f"{name}.flac", "--json")
        answer[name] = json.loads(done.out)
        assert done.code == 0 and "voice kumi; weights " in answer[name]["says"]
        assert "voice kumi; weights " in json.loads(moksori("verify", tmp_path / f"{name}.wav", "--json").out)["says"]
    assert [answer[name]["is_marked"] for name in ("plain", "marked", "own")] == [False, True, False]
    assert json.loads(moksori("verify", tmp_path / "own.flac", "--json", "--mark-key", "secret").out)["is_marked"]
    # Written anew without its words, the mark is what is left.
    clip = files.read(tmp_path / "marked.flac")
    files.write(tmp_path / "anew.flac", Clip(clip.samples, clip.sample_rate))
    done = moksori("verify", tmp_path / "anew.flac")
    assert done.code == 0 and "nothing of a conversion" in done.out and "found" in done.out


def test_what_is_no_conversion_is_not_taken_for_one(moksori: Moksori, song: Path, tmp_path: Path) -> None:
    done = moksori("verify", song)
    assert done.code == 1 and "nothing of a conversion" in done.out and "not found" in done.out
    soundfile.write(tmp_path / "other.flac", np.zeros(RATE), RATE)
    assert moksori("verify", tmp_path / "other.flac").code == 1
    assert moksori("verify", tmp_path / "nothing.flac").code == 3


def test_without_the_mark_the_sound_is_the_same_to_the_bit(song: Path) -> None:
    samples, _ = soundfile.read(song, dtype="float32")
    voice = package.load()
    plain = voice.convert(samples[: 2 * RATE], RATE, singer="kumi")
    again = voice.convert(samples[: 2 * RATE], RATE, singer="kumi", options=ConvertOptions())
    marked = voice.convert(samples[: 2 * RATE], RATE, singer="kumi", options=ConvertOptions(mark="key"))
    np.testing.assert_array_equal(plain, again)
    assert 0 < np.abs(plain - marked).max() < 0.15 * np.abs(plain).max()
