"""Slips in a program that uses the library: taken where it is plain what is meant, else refused in words of ours."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests_of_trust import RATE, sing

import moksori
from moksori import arguments
from moksori.audio.clip import Samples
from moksori.conversion import ConvertOptions, SongFile, Voice, live
from moksori.errors import UserError

pytestmark = pytest.mark.kind("U")

SONG = sing(0.3)


@pytest.fixture(scope="module")
def plain(voice: Voice) -> Samples:
    return voice.convert(SONG, RATE, singer="kumi")


@pytest.mark.parametrize("rate", [24000.0, np.int64(24000), np.float32(24000), torch.tensor(24000)])
def test_a_rate_that_is_whole_is_taken(voice: Voice, plain: Samples, rate: Any) -> None:
    np.testing.assert_array_equal(voice.convert(SONG, rate, singer="kumi"), plain)


@pytest.mark.parametrize("rate", [44.1, 44, "24000", None, 0, -24000, True, float("nan"), 10**9, [24000]])
def test_a_rate_that_is_none_is_refused(voice: Voice, rate: Any) -> None:
    """True was 1 Hz, which takes all memory there is."""
    with pytest.raises((TypeError, ValueError), match=r"sample_rate is .*; expected "):
        voice.convert(SONG, rate, singer="kumi")


@pytest.mark.parametrize("singer", [None, ["kumi"], ("kumi", "dorodoro"), 0, b"kumi", [("kumi", 1.0)]])
def test_a_singer_is_a_name_or_a_mix(voice: Voice, singer: Any) -> None:
    with pytest.raises(TypeError, match="expected a name, such as 'kumi', or a mix"):
        voice.convert(SONG, RATE, singer=singer)


@pytest.mark.parametrize("share", ["1", None, True, [1]])
def test_a_share_is_a_number(voice: Voice, share: Any) -> None:
    with pytest.raises(TypeError, match="share of a singer is"):
        voice.convert(SONG, RATE, singer={"kumi": share})


@pytest.mark.parametrize(
    "given",
    [
        {"options": {"seed": 1}}, {"options": "auto"}, {"options": ConvertOptions}, {"progress": 5},
        {"melody": "song.f0.csv"},
    ],
)  # fmt: skip
def test_what_is_no_wish_is_refused(voice: Voice, given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="; expected "):
        voice.convert(SONG, RATE, singer="kumi", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"seed": "1"}, {"seed": 1.5}, {"seed": None}, {"transpose": None}, {"transpose": [1]}, {"temperature": "1"},
        {"detail": "1"}, {"keep_breaths": "no"}, {"chunks": None}, {"chunks": 5},
        {"mark": True}, {"mark": b"key"},
    ],
)  # fmt: skip
def test_options_are_of_their_types(given: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="; expected "):
        ConvertOptions(**given)


def test_paths_may_be_text_and_begin_at_home(voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "song.wav", SONG, RATE)
    monkeypatch.setenv("HOME", str(tmp_path))
    voice.convert_file("~/song.wav", str(tmp_path / "out.wav"), singer="kumi")
    assert soundfile.info(tmp_path / "out.wav").frames == len(SONG)
    for path in (None, 5):
        with pytest.raises(TypeError, match="expected a path"):
            voice.convert_file(path, tmp_path / "out.wav", singer="kumi")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"{tmp_path}/none.safetensors: no such file"):
        moksori.load("~/none.safetensors")


@pytest.mark.kind("D")
def test_a_song_is_never_written_over_by_itself(voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", SONG, RATE)
    (tmp_path / "same.wav").hardlink_to(tmp_path / "song.wav")
    before = (tmp_path / "song.wav").read_bytes()
    for destination in (tmp_path / "song.wav", tmp_path / "same.wav", tmp_path / "." / "song.wav"):
        with pytest.raises(UserError, match="is itself the song"):
            voice.convert_file(tmp_path / "song.wav", destination, singer="kumi")
    assert (tmp_path / "song.wav").read_bytes() == before


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_songs_that_nobody_asks_for_are_told(voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", SONG, RATE)
    songs = [SongFile(tmp_path / "song.wav", tmp_path / "out.wav", "kumi")]
    with pytest.warns(RuntimeWarning, match="never iterated"):
        voice.convert_files(songs)
    assert not (tmp_path / "out.wav").exists()
    assert len(list(voice.convert_files(song for song in songs))) == 1
    for wrong in (songs[0], [(tmp_path / "song.wav", tmp_path / "out.wav", "kumi")]):
        with pytest.raises(TypeError, match=r"expected .*SongFile"):
            voice.convert_files(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cuda:7", "gpu", "metal"])
def test_a_device_that_is_not_there_is_told(device: str) -> None:
    with pytest.raises(UserError, match=r"cannot be used here .*; use auto or cpu"):
        moksori.load(device=device)


def test_a_voice_can_be_copied_and_sent(voice: Voice, plain: Samples) -> None:
    for other in (copy.copy(voice), copy.deepcopy(voice), pickle.loads(pickle.dumps(voice))):
        np.testing.assert_array_equal(other.convert(SONG, RATE, singer="kumi"), plain)


def test_what_the_callers_program_chose_for_torch_changes_nothing(plain: Samples) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        sung = moksori.load().convert(SONG, RATE, singer="kumi")
        assert torch.get_default_dtype() == torch.float64 and torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(sung, plain)


def test_clips_and_singers_belong_together(voice: Voice) -> None:
    clip = moksori.Clip(SONG, 24000.0)  # type: ignore[arg-type]
    assert clip.sample_rate == 24000 and type(clip.sample_rate) is int
    for singers in ("kumi", ["kumi", "kumi"]):
        with pytest.raises(ValueError, match="expected one for each of 1 clips"):
            voice.convert_clips([clip], singers)
    with pytest.raises(TypeError, match=r"expected moksori\.Clip"):
        voice.convert_clips([SONG], ["kumi"])  # type: ignore[list-item]


def test_numbers_are_whole_whatever_their_type() -> None:
    assert arguments.whole_number(np.float64(3.0), "n", "1") == 3
    assert arguments.number(np.float32(0.5), "x", "1") == 0.5
    with pytest.raises(ValueError, match="44 kHz are 44000 Hz"):
        arguments.sample_rate(44)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("kumi", "auto"), "transpose_semitones is 'auto'; expected a number"),
        (("kumi", None), "transpose_semitones is None; expected a number"),
        (("kumi", float("nan")), "transpose is nan; expected"),
        (("kumi", 1e9), "transpose is 1000000000.0; expected"),
        (("kumi", 0.0, 2.0), "detail is 2.0; expected"),
        ((None,), "singer is None; expected"),
    ],
)
def test_live_is_asked_for_what_there_is(voice: Voice, given: tuple[Any, ...], words: str) -> None:
    with pytest.raises((TypeError, UserError), match=words):
        live.Live(voice, *given)


def test_one_bad_block_does_not_silence_what_is_sung_live(voice: Voice) -> None:
    """One NaN of a driver stayed in the level that is followed, for ever."""
    going, song = live.Live(voice, "kumi"), sing(1.5)
    size = going.song.block_samples
    blocks = [song[start : start + size] for start in range(0, len(song) - size, size)]
    blocks[3], blocks[5] = np.full(size, np.nan, np.float32), np.full(size, 1e30, np.float32)
    sung = np.concatenate([going.process(block) for block in blocks])
    assert np.isfinite(sung).all() and np.abs(sung[-4 * size :]).max() > 0.05
    with pytest.raises(TypeError, match="expected a float32 array"):
        going.process([0.0] * size)  # type: ignore[arg-type]


def test_takes_and_songs_may_be_text_and_nothing_else(voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SONG, RATE)
    assert voice.loudest(str(tmp_path / "a.wav"), 0.2).seconds == pytest.approx(0.2)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no recording with singing in it"):
        voice.like(str(tmp_path / "a.wav"))
    for wrong in (None, 5):
        for call in (voice.like, voice.melody_of, lambda path: voice.loudest(path, 1.0)):
            with pytest.raises(TypeError, match="expected a path"):
                call(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected what `instant\.measure` gives"):
        voice.with_singer("takes")  # type: ignore[arg-type]
    for seconds in (-1.0, 0.0, float("nan")):
        with pytest.raises(ValueError, match="expected more than 0"):
            voice.loudest(tmp_path / "a.wav", seconds)


@pytest.mark.parametrize("wrong", [None, 5, ["takes"]])
def test_training_and_evaluating_say_what_they_expect(wrong: Any, tmp_path: Path) -> None:
    """It was: expected str, bytes or os.PathLike object, not NoneType."""
    for call in (
        lambda: moksori.train(wrong, tmp_path / "run"),
        lambda: moksori.train(tmp_path, wrong),
        lambda: moksori.train(tmp_path, tmp_path / "run", recipe=wrong),
        lambda: moksori.evaluate(moksori.load(), wrong, tmp_path / "report"),
    ):
        with pytest.raises(TypeError, match="; expected a path"):
            call()
    assert not list(tmp_path.iterdir())
