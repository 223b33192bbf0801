"""A song's latent, piece by piece, is that of the whole song."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.audio.clip import Samples
from moksori.data import threads
from moksori.generation import generator
from moksori.generation.engine.encoder import EngineEncoder
from moksori.generation.songs import latents
from moksori.generation.songs.latents import Latents, TorchEncode
from moksori.generation.songs.windows import Window
from moksori.models.encoder import Encoder, EncoderConfig

CONFIG = EncoderConfig(2, 4, 4, 3, 5, hop_samples=8)
RATE, N_SAMPLES, N_FRAMES = 4000, 1203, 151


@pytest.fixture
def encoder() -> Encoder:
    """A context of 31 samples, more than three frames: a piece that lacks any of it differs at its ends."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = Encoder(CONFIG).eval()
    with torch.no_grad():
        for weight in own.parameters():
            weight.abs_()  # nothing cancels, no ReLU shuts: the rim of the context, eight layers away, counts
    return own


@pytest.fixture
def sound() -> Samples:
    return np.random.default_rng(0).uniform(-1, 1, N_SAMPLES).astype(np.float32)


def whole(encode: Callable[[Tensor], Tensor], sound: Samples) -> Tensor:
    padded = np.concatenate([sound, np.zeros(-N_SAMPLES % CONFIG.hop_samples, np.float32)])
    with torch.inference_mode():
        return encode(mulaw.encode(torch.from_numpy(padded))[None])[0]


def window(sound: Samples, block_samples: int) -> Window:
    return Window(sound[start : start + block_samples] for start in range(0, N_SAMPLES, block_samples))


@pytest.mark.parametrize("backend", ["streaming", *generator.ENGINE])
@pytest.mark.parametrize("block_samples", [1, 30, 10_000])
def test_pieces_of_a_song_have_the_latent_of_the_whole(
    encoder: Encoder, sound: Samples, monkeypatch: pytest.MonkeyPatch, backend: str, block_samples: int
) -> None:
    """By the engine to the bit."""
    monkeypatch.setattr(latents, "_PIECE_SECONDS", 0.1)
    monkeypatch.setattr(latents, "_PARALLEL_PIECE_SECONDS", 0.05)
    encode = latents.encode_for(encoder, backend)
    found, expected = Latents(encode, CONFIG, RATE, window(sound, block_samples), N_FRAMES), whole(encode, sound)
    assert expected.shape == (5, N_FRAMES)
    tolerance = 1e-5 if backend == "streaming" else 0
    for start, stop in [(0, 1), (0, 30), (7, 20), (7, 60), (58, 59), (59, N_FRAMES)]:
        torch.testing.assert_close(found.read(start, stop), expected[:, start:stop], atol=0, rtol=tolerance)


@pytest.mark.parametrize("n_cores", [1, 3, 500])
def test_the_number_of_threads_changes_nothing(
    encoder: Encoder, sound: Samples, monkeypatch: pytest.MonkeyPatch, n_cores: int
) -> None:
    monkeypatch.setattr(threads, "n_cores", lambda: n_cores)
    encode = latents.encode_for(encoder, "float32")
    found = Latents(encode, CONFIG, RATE, window(sound, 100), N_FRAMES).read(0, N_FRAMES)
    assert torch.equal(found, whole(encode, sound))


def test_a_piece_is_encoded_when_it_is_needed_and_once(
    encoder: Encoder, sound: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the song only what was asked for, and its context, has been read."""
    monkeypatch.setattr(latents, "_PIECE_SECONDS", 0.04)  # 20 frames
    taken, asked = [], []

    def blocks() -> Iterator[Samples]:
        for start in range(0, N_SAMPLES, 8):
            taken.append(start)
            yield sound[start : start + 8]

    class Noted(TorchEncode):
        def __call__(self, codes: Tensor, stop: Event | None = None) -> Tensor:
            asked.append(codes.shape[1] // 8)
            return super().__call__(codes, stop)

    song = Latents(Noted(encoder), CONFIG, RATE, Window(blocks()), N_FRAMES)
    song.read(0, 5)
    song.read(3, 20)
    assert asked == [24] and len(taken) == 24 and song.n_encoded == 20
    song.read(19, 21)
    assert asked == [24, 28] and len(taken) == 44


def test_the_engine_listens_where_it_sings_and_torch_elsewhere(encoder: Encoder) -> None:
    for name in generator.BACKENDS:
        made = latents.encode_for(encoder, name)
        assert isinstance(made, EngineEncoder if name in generator.ENGINE else TorchEncode)


def test_who_stops_is_not_kept_waiting(sound: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends one piece ends the other, which is under way."""
    begun, told_to_stop = Event(), []

    class Failing:
        is_parallel = True

        def __call__(self, codes: Tensor, stop: Event | None = None) -> Tensor:
            assert stop is not None
            if codes.shape[1] == 79 * CONFIG.hop_samples:  # the first half, and its context after it
                assert begun.wait(30)
                raise KeyboardInterrupt
            begun.set()
            told_to_stop.append(stop.wait(30))
            raise CancelledError

    monkeypatch.setattr(threads, "n_cores", lambda: 2)
    song = Latents(Failing(), CONFIG, RATE, window(sound, 1000), N_FRAMES)
    with pytest.raises(KeyboardInterrupt):
        song.read(0, 1)
    assert told_to_stop == [True]


def test_torch_gives_up_before_it_begins(encoder: Encoder) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        TorchEncode(encoder)(torch.zeros(1, 8, dtype=torch.int64), stop)
