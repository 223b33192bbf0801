"""`moksori wavenet`: from folders of recordings to clips, and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from calling import Moksori, write_song
from tiny_recipes import TINY_ALONE

from moksori.audio import files, signals
from moksori.data.corpus import Corpus


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_ALONE, encoding="utf-8")
    return path


def test_a_vocoder_is_trained_and_sings_a_recording_again(
    moksori: Moksori, tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    train = ["wavenet", "train", tiny_corpus.folder, "-o", run]
    done = moksori(
        *(*train, "-r", recipe_file, "--tell", "mel", "--tell", "singer", "--tell", "phase", "--max-steps", 2),
        *("--set", "loop.log_every_steps=1"),
    )
    assert done.code == 0, done.err
    assert f"Listen: moksori wavenet generate {run} --like RECORDING -s" in done.err
    more = moksori(*train, "--max-steps", 3)  # with its own recipe, what it is told included
    assert more.code == 0, more.err
    assert "Trained 3 steps" in more.err

    header, *steps = moksori("info", run, "--losses").out.splitlines()
    assert header.startswith("step,seconds,learning_rate,prediction/")
    assert [int(line.split(",")[0]) for line in steps] == [1, 2, 3]
    shown = moksori("info", run).out
    assert "a WaveNet by itself" in shown
    assert "who sings, pitch and loudness, the phase of the pitch, log-mel (a vocoder)" in " ".join(shown.split())
    facts = json.loads(moksori("info", run, "--json").out)
    assert facts["config"]["mel_window_samples"] == 512
    assert facts["receptive_field"] == 9

    song = write_song(tmp_path / "song.wav", n_samples=801)
    voices = [word for name in tiny_corpus.singers for word in ("-s", name)]
    sung = moksori("wavenet", "generate", run, "--like", song, *voices, "--count", 2, "-o", out)
    assert sung.code == 0, sung.err
    made = sorted(path.name for path in out.iterdir())
    assert made == [f"song.{name}.{number:02d}.flac" for name in sorted(tiny_corpus.singers) for number in (0, 1)]
    clips = [files.read(out / name) for name in made]
    assert {clip.n_samples for clip in clips} == {801}
    assert not np.array_equal(clips[0].samples, clips[1].samples)
    again = moksori("wavenet", "generate", run, "--like", song, *voices, "-o", out)
    assert again.code == 1
    assert "exists already; use --force" in again.err

    refused = moksori("convert", song, "-m", run, "-s", tiny_corpus.singers[0])
    assert refused.code == 1
    assert "it sings a song again, but takes nothing of a song over into another voice" in refused.err


def test_one_that_is_told_nothing_goes_on_from_a_recording(
    moksori: Moksori, tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = moksori("wavenet", "train", tiny_corpus.folder, "-o", run, "-r", recipe_file, "--max-steps", 1)
    assert done.code == 0, done.err
    song = tmp_path / "song.wav"
    files.write(song, signals.tone(220.0, 0.1, 8000, amplitude=0.1))
    generate = ["wavenet", "generate", run, "--seconds", 0.05, "--prime", song]
    for extra, seconds in ((["-o", tmp_path / "rest.wav"], 0.05), (["-o", tmp_path / "all.wav", "--keep-prime"], 0.15)):
        said = moksori(*generate, *extra, "--json")
        assert said.code == 0, said.err
        assert files.read(extra[1]).seconds == pytest.approx(seconds)
    kept, rest = files.read(tmp_path / "all.wav"), files.read(tmp_path / "rest.wav")
    assert np.array_equal(kept.samples[:800], files.read(song).samples)
    assert np.array_equal(kept.samples[800:], rest.samples)


def test_what_cannot_be_is_refused(moksori: Moksori, tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path) -> None:
    train = ["wavenet", "train", tiny_corpus.folder, "-o", tmp_path / "run", "--max-steps", 1]
    for extra, words in (
        (
            ["-r", recipe_file, "--tell", "words"],
            "--tell words: a WaveNet can be conditioned on singer, melody",
        ),
        (["-r", recipe_file, "--set", "loop.stride=3"], "stride"),
        (["-r", "smoke"], "recipe smoke trains a voice to convert to; use moksori train"),
    ):
        done = moksori(*train, *extra)
        assert done.code == 1
        assert words in done.err
    assert not (tmp_path / "run").exists()
    missing = moksori("wavenet", "generate", tmp_path / "run", "--seconds", 1, "-o", tmp_path / "x.wav")
    assert missing.code == 5
