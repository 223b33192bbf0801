"""`moksori singers` and `moksori enroll`: who there is, who comes, who goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from calling import Moksori, write_song

from moksori import checkpoint
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.conversion import instant
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training.recipe import Recipe

BASS = PitchRange(100.0, 150.0, 200.0)


@pytest.fixture
def voice(tiny_swift: SourceFilterModel, tmp_path: Path) -> Path:
    path = tmp_path / "voice.safetensors"
    checkpoint.write_model(path, tiny_swift, Provenance(ranges={"bass": BASS}))
    return path


def test_singers_are_renamed_and_removed_in_a_copy(moksori: Moksori, voice: Path, tmp_path: Path) -> None:
    before, copy = voice.read_bytes(), tmp_path / "copy.safetensors"
    done = moksori("singers", voice, "--rename", "bass=Jun", "--remove", "tenor", "-o", copy)
    assert (done.code, done.out) == (0, "Jun\n") and voice.read_bytes() == before
    model, provenance = checkpoint.read_model(copy)
    old, _ = checkpoint.read_model(voice)
    assert torch.equal(model.singers.table.weight, old.singers.table.weight[:1])
    assert provenance.ranges == {"Jun": BASS}
    assert b"tenor" not in copy.read_bytes()
    again = moksori("singers", voice, "--remove", "tenor", "-o", copy)
    assert again.code == 1 and "exists already" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--remove", "tenor"], "say where with -o FILE"),
        (["--remove", "Tenor", "-o", "x"], "did you mean tenor"),
        (["--rename", "bass", "-o", "x"], "takes OLD=NEW"),
        (["--rename", "bass=tenor", "-o", "x"], "two singers would have one name"),
        (["--remove", "bass", "--remove", "tenor", "-o", "x"], "nobody would be left"),
        (["-o", "x"], "say what to change"),
    ],
)
def test_what_makes_no_voice_is_refused(moksori: Moksori, voice: Path, arguments: list[str], message: str) -> None:
    done = moksori("singers", voice, *arguments)
    assert done.code == 1 and message in done.err
    assert not Path("x").exists()


def test_a_singer_is_enrolled_from_takes(moksori: Moksori, voice: Path, tmp_path: Path) -> None:
    third = synthetic.SINGERS[2:3]
    synthetic.write_corpus(
        tmp_path / "songs", np.random.default_rng(1), singers=third, n_songs=2, seconds=1.5, sample_rate=8000
    )
    takes, grown = tmp_path / "songs" / third[0].name, tmp_path / "grown.safetensors"
    done = moksori("enroll", voice, takes, "--name", "mina", "-o", grown, "--seconds", 2, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["singer"] == "mina"
    assert moksori("singers", grown).out.split() == ["bass", "tenor", "mina"]
    taken = moksori("enroll", grown, takes, "--name", "mina", "-o", tmp_path / "other.safetensors")
    assert taken.code == 1 and "already" in taken.err
    assert moksori("enroll", voice, tmp_path / "none").code == 1


def test_a_song_is_sung_like_takes_that_were_only_measured(
    moksori: Moksori, tiny_swift_recipe: Recipe, tmp_path: Path
) -> None:
    third = (replace(synthetic.SINGERS[2], name="mina"),)
    synthetic.write_corpus(
        tmp_path / "songs", np.random.default_rng(1), singers=third, n_songs=2, seconds=3.5, sample_rate=8000
    )
    takes, song = tmp_path / "songs" / "mina", write_song(tmp_path / "song.wav", 8000)
    decoder = SourceFilterConfig(channels=8, layers=2, has_detail=True)
    model = SourceFilterModel(replace(tiny_swift_recipe.model, decoder=decoder), ["bass", "tenor"])  # type: ignore[arg-type, type-var]
    voice = tmp_path / "voice.safetensors"
    checkpoint.write_model(voice, model, Provenance(ranges={"bass": BASS}))
    before = voice.read_bytes()
    done = moksori("convert", song, "-m", voice, "--like", takes, "--page", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "mina was measured from 7 s of takes, and not trained" in done.err
    assert f"note: {takes}: 7 s of singing: 30 s or more come nearer" in done.err
    assert (tmp_path / "song.mina.wav").is_file() and voice.read_bytes() == before
    assert "mina was measured from 7 s of takes" in (tmp_path / "page.html").read_text(encoding="utf-8")
    printed = moksori("convert", song, "-m", voice, "--like", takes / "song-1.wav", "--like", takes, "-f", "--json")
    assert json.loads(printed.out)["measured"] == {"mina": 7.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-s", "bass"], "--like says who shall sing; leave -s and --mix out"),
        (["--mix", "bass=1"], "--like says who shall sing"),
        (["--save-preset", "stage"], "a preset keeps no takes"),
        (["--ray", "off"], "--like is for single songs"),
        ([], "no such folder or file; expected the recordings of one singer"),
    ],
)
def test_what_does_not_go_with_takes_is_refused_before_any_work(
    moksori: Moksori, voice: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    song = write_song(tmp_path / "song.wav")
    done = moksori("convert", song, "-m", voice, "--like", tmp_path / "none", *arguments)
    assert done.code == 1 and message in done.err


def test_a_result_that_is_there_is_refused_before_takes_are_measured(
    moksori: Moksori, tiny_swift: SourceFilterModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write_model(tmp_path / "voice.safetensors", tiny_swift, Provenance(ranges={"bass": BASS}))
    monkeypatch.setattr(instant, "measure", lambda *_, **__: pytest.fail("they were measured"))
    (tmp_path / "mina").mkdir()
    write_song(tmp_path / "song.wav", 2000)
    (tmp_path / "song.mina.wav").write_bytes(b"mine")
    done = moksori("convert", tmp_path / "song.wav", "-m", tmp_path / "voice.safetensors", "--like", tmp_path / "mina")
    assert done.code == 1 and "song.mina.wav: exists already" in done.err
    write_song(tmp_path / "other.wav", 2000)
    (tmp_path / "other.mina.wav").write_bytes(b"mine")
    both = [tmp_path / "song.wav", tmp_path / "other.wav"]
    done = moksori("convert", *both, "-m", tmp_path / "voice.safetensors", "--like", tmp_path / "mina")
    assert done.code == 7 and "song.mina.wav: exists" in done.err and "other.mina.wav: exists" in done.err
    assert (tmp_path / "song.mina.wav").read_bytes() == (tmp_path / "other.mina.wav").read_bytes() == b"mine"
