"""`moksori live`: a device is fitted, levels are shown, losses are told, and what is sung may be kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from calling import Moksori
from tiny_live import tiny_live_model

from moksori import checkpoint
from moksori.checkpoint import Provenance
from moksori.conversion import live
from moksori.conversion.live import Processed

RATE = 48_000


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "voice.safetensors"
    checkpoint.write_model(path, tiny_live_model(), Provenance())
    return path


class _Card:
    """A sound card that sings a second, loses a block, and then gets Ctrl-C."""

    def __init__(self, *_: str | None) -> None:
        self.devices = "0 a microphone, 1 a speaker"

    def names(self) -> str:
        return self.devices

    def rate_for(self, _: int) -> int:
        return RATE

    def run(self, process: Processed, sample_rate: int, block_samples: int, until: Callable[[], bool]) -> None:
        assert sample_rate == RATE and block_samples == 1920
        times = np.arange(RATE) / RATE
        song = (0.1 * np.asarray(sum(np.sin(2 * np.pi * 220 * k * times) / k for k in range(1, 8)))).astype(np.float32)
        for number, block in enumerate(np.split(song, 25)):
            process(block, number == 3)
            until()
        raise KeyboardInterrupt


def test_singing_shows_levels_counts_losses_and_is_kept(
    moksori: Moksori, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SoundCard", _Card)
    done = moksori("live", "-m", voice, "-s", "bass", "--record", tmp_path / "take" / "a.flac")
    assert done.code == 0, done.err
    assert "120 ms from a sound to its answer" in done.err
    assert "the sound card works at 48000 Hz: 1." in done.err
    assert "dBFS  out" in done.err and "lost 1" in done.err
    assert "25 blocks: 1 after a loss of the device, " in done.err and "real-time factor" in done.err
    found, rate = soundfile.read(tmp_path / "take" / "a.flac")
    assert rate == RATE and found.shape == (RATE,) and np.abs(found[RATE // 2 :]).max() > 0.001
    again = moksori("live", "-m", voice, "-s", "bass", "--record", tmp_path / "take" / "a.flac")
    assert again.code == 1 and "exists already" in again.err
    assert "0 a microphone" in moksori("live", "--devices").out


def test_a_file_takes_the_place_of_the_microphone(moksori: Moksori, voice: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", 0.1 * np.sin(np.arange(8000) * 0.1), 16_000)
    call = ["live", "-m", voice, "-s", "bass", "--from", tmp_path / "song.wav"]
    done = moksori(*call, "--to", tmp_path / "sung.wav")
    assert done.code == 0 and "late" not in done.err
    assert soundfile.info(tmp_path / "sung.wav").frames == 8000
    assert "belong together" in moksori(*call).err
    assert "with --from, --to does" in moksori(*call, "--to", tmp_path / "b.wav", "--record", tmp_path / "c.wav").err


def test_somebody_has_to_sing(moksori: Moksori, voice: Path) -> None:
    done = moksori("live", "-m", voice)
    assert done.code == 1 and "say who shall sing: -s SINGER; there is bass, tenor" in done.err
