"""Live through a device: a fake one counts what is lost, and files come out as long as they went in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_live import tiny_live_model

from moksori.audio import files, level, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance
from moksori.conversion import Voice, live
from moksori.conversion.live import Live, Processed, SoundCard
from moksori.errors import UserError


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice(tiny_live_model(), Provenance())


class Fake:
    """A device that sings a song into the microphone, and loses a block now and then."""

    def __init__(self, song: Samples, lost: tuple[int, ...] = ()) -> None:
        self.song, self.lost, self.heard = song, lost, np.zeros(0, np.float32)

    def run(self, process: Processed, sample_rate: int, block_samples: int, until: Callable[[], bool]) -> None:
        for number, at in enumerate(range(0, len(self.song) - block_samples + 1, block_samples)):
            if until():
                return
            found = process(self.song[at : at + block_samples], number in self.lost)
            assert found.shape == (block_samples,) and found.dtype == np.float32
            self.heard = np.concatenate([self.heard, found])


def _song(seconds: float, rate: int) -> Samples:
    times = np.arange(round(seconds * rate)) / rate
    return (0.1 * np.asarray(sum(np.sin(2 * np.pi * 220 * k * times) / k for k in range(1, 8)))).astype(np.float32)


def test_a_device_is_served_and_what_it_loses_is_counted(voice: Voice) -> None:
    going = Live(voice, "bass")
    going.warm_up()
    device = Fake(_song(1.0, going.sample_rate), lost=(3, 9))
    device.run(going.process, going.sample_rate, going.song.block_samples, lambda: False)
    meter = going.meter
    assert (meter.n_blocks, meter.n_lost) == (25, 2)
    assert meter.in_dbfs == pytest.approx(-20, abs=3) and meter.out_dbfs > -60
    assert len(meter.loads) == 25 and 0 < meter.load(0.5) <= meter.load(0.99)
    assert np.abs(device.heard).max() <= 1.0


def test_a_device_that_is_told_to_stop_stops(voice: Voice) -> None:
    going = Live(voice, "bass")
    Fake(_song(1.0, going.sample_rate)).run(going.process, 24_000, going.song.block_samples, lambda: True)
    assert going.meter.n_blocks == 0 and going.meter.load(0.99) == 0.0


@pytest.mark.parametrize(("seconds", "rate"), [(0.7, 44_100), (0.031, 24_000), (0.5, 24_000)])
def test_a_file_comes_out_as_long_as_it_went_in_and_in_time(
    voice: Voice, tmp_path: Path, seconds: float, rate: int
) -> None:
    song = _song(seconds, rate)
    song[: len(song) // 2] = 0.0
    files.write(tmp_path / "a.wav", Clip(song, rate))
    live.convert_file(Live(voice, "bass"), tmp_path / "a.wav", tmp_path / "b.wav")
    found = files.read(tmp_path / "b.wav")
    assert (found.n_samples, found.sample_rate) == (len(song), rate)
    if seconds > 0.1:
        begins = np.flatnonzero(np.abs(found.samples) > 0.01)[0] / rate
        assert begins == pytest.approx(seconds / 2, abs=0.025)


def test_a_voice_without_a_detail_path_is_refused(swift_voice: Voice) -> None:
    with pytest.raises(UserError, match="cannot sing live"):
        Live(swift_voice, "bass")


def test_without_a_sound_card_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"pip install 'moksori\[live\]'"):
        SoundCard()


class _Module:
    """What is asked of sounddevice."""

    class PortAudioError(Exception):
        """As its own."""

    def __init__(self, rates: tuple[int, ...] = (24_000,)) -> None:
        self.rates = rates
        self.asked: dict[str, Any] = {}
        self.given: list[Any] = []

    def sleep(self, _: int) -> None:
        """Call back as the driver does."""
        indata, outdata = np.full((4, 1), 0.5, np.float32), np.zeros((4, 1), np.float32)
        self.asked["callback"](indata, outdata, 4, None, "input overflow")
        self.given.append(outdata)

    def check_input_settings(self, **asked: Any) -> None:
        """As its own."""
        if asked["samplerate"] not in self.rates:
            raise self.PortAudioError("Invalid sample rate")

    check_output_settings = check_input_settings

    def query_devices(self, device: Any = None, kind: str | None = None) -> dict[str, Any]:
        """As its own."""
        return {"name": "fake", "default_samplerate": float(self.rates[0])}

    def Stream(self, **asked: Any) -> Any:
        """A context."""
        import contextlib

        if asked["device"][0] == "none":
            raise ValueError("no input device matching 'none'")
        self.asked = asked
        return contextlib.nullcontext()


def test_the_sound_card_is_asked_for_the_voices_rate_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = _Module()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    stops, seen = iter([False, True]), []

    def process(block: Samples, is_after_loss: bool) -> Samples:
        seen.append(is_after_loss)
        return 2 * block

    SoundCard("3", None).run(process, 24_000, 960, lambda: next(stops))
    assert (module.asked["samplerate"], module.asked["blocksize"], module.asked["device"]) == (24_000, 960, (3, None))
    assert seen == [True] and np.array_equal(module.given[0], np.ones((4, 1), np.float32))
    with pytest.raises(UserError, match="the sound card refuses: no input device"):
        SoundCard("none", None).run(process, 24_000, 960, lambda: True)


def test_a_card_that_does_not_know_the_voices_rate_works_at_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", _Module((48_000, 24_000)))
    assert SoundCard().rate_for(24_000) == 24_000
    monkeypatch.setitem(sys.modules, "sounddevice", _Module((48_000,)))
    assert SoundCard().rate_for(24_000) == 48_000


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_at_another_rate_the_voice_is_the_same_and_hardly_later(voice: Voice, rate: int) -> None:
    own, other = Live(voice, "bass"), Live(voice, "bass")
    fitted = live.AtRate(other, rate)
    assert fitted.block_samples == own.song.block_samples * rate // own.sample_rate
    assert fitted.extra_seconds < 0.002 and (fitted.extra_seconds == 0) == (rate == 24_000)
    heard = []
    for process, at, block_samples in (
        (own.process, 24_000, own.song.block_samples),
        (fitted.process, rate, fitted.block_samples),
    ):
        device = Fake(_song(1.0, at))
        device.run(process, at, block_samples, lambda: False)
        heard.append(resample.resample(device.heard, at, 24_000).astype(float)[12_000:])
    assert other.meter.n_blocks == 25
    # Oscillators begin where they like, so waveforms differ; pitch and level do not.
    pitches = [np.median(PitchTracker().track(Clip(one.astype(np.float32), 24_000)).voiced_hz) for one in heard]
    assert pitches[1] == pytest.approx(pitches[0], rel=0.002)
    levels = [level.rms_dbfs(one.astype(np.float32)) for one in heard]
    assert levels[1] == pytest.approx(levels[0], abs=0.3)


def test_a_rate_that_no_block_fits_is_refused(voice: Voice) -> None:
    with pytest.raises(UserError, match="set it to 44100 or 48000 Hz"):
        live.AtRate(Live(voice, "bass"), 44_056)
