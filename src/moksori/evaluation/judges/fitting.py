"""What the judges' nets have in common: input features, augmentation, and the cache of fitted weights.

They are taught on real recordings and asked about conversions, so nothing that a conversion may change with good right
must matter to them: gain, bandwidth, the tone of a room, and the pitch. Our singers hold few pitches, some of them one;
so each recording is also used at another pitch with its formants where they were (`features_at_pitch`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori import checkpoint
from moksori.audio import files, level, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.spectral import SpectralConfig
from moksori.data import threads
from moksori.data.corpus import Corpus, Recording
from moksori.errors import ModelFileError
from moksori.progress import OnProgress, Progress

SPECTRAL = SpectralConfig(sample_rate=16000, window_samples=1024, hop_samples=160, n_mels=80, low_hz=40.0)
FOLDER = "judges"  # below the data folder

_LEVEL_DBFS = -23.0  # every clip is brought to this level where it is sung
_PITCH_RANGE_SEMITONES = 7.0  # recordings are also used up to this much higher or lower
_LIFTER = 0.6  # the envelope is what changes more slowly than this share of a period
_TONE = 0.4  # deviation of the tone of a room, 9 dB in the scale of `features`
_MIDDLE_MEL = -6.0  # log-mels of singing at one level lie around here


def features(clip: Clip) -> Tensor:
    """Log-mel of a clip, brought to one level, about -2..2, `[80, F]` at 100 frames a second.

    An empty clip is a frame of silence.
    """
    return _normalised(spectral.log_mel(_waveform(clip), SPECTRAL))


def features_at_pitch(clip: Clip, semitones: float, top_hz: float) -> Tensor:
    """Log-mel of a clip as if it were sung at another pitch by the same singer, `[80, F']`.

    The clip is resampled, which moves pitch, formants and time; then the spectral envelope of each frame (its cepstrum
    below the period of the voice) is moved back. Time stays as resampled: shorter where the pitch is higher.

        resampled spectrum S(f) = fine(f / r) * envelope(f / r)     wanted: fine(f / r) * envelope(f)

    Args:
        clip: a voice.
        semitones: how much higher.
        top_hz: the highest pitch in the clip, above 0; its period bounds what counts as envelope.
    """
    ratio = 2.0 ** (semitones / 12.0)
    waveform = _waveform(clip).numpy()
    rate = round(SPECTRAL.sample_rate * ratio)
    moved = torch.from_numpy(resample.resample(waveform, rate, SPECTRAL.sample_rate))
    logarithm = spectral.magnitude(moved, SPECTRAL).clamp(min=SPECTRAL.floor).log()  # [bins, F]
    envelope = _envelope(logarithm, top_hz * ratio)
    n_bins = len(envelope)
    place = (torch.arange(n_bins) * ratio).clamp(max=n_bins - 1)[:, None]
    shift = (spectral.rows_at(envelope, place) - envelope).clamp(-6.0, 6.0)
    mel = spectral.mel_filterbank(SPECTRAL) @ (logarithm + shift).exp()
    return _normalised(mel.clamp(min=SPECTRAL.floor).log())


def training_features(
    corpus: Corpus, recordings: Sequence[Recording], seed: int, progress: OnProgress
) -> list[tuple[Recording, Tensor]]:
    """Features of recordings, each as it is and at two other pitches, one higher and one lower."""
    rng = np.random.default_rng(seed)
    moves = rng.uniform(1.0, _PITCH_RANGE_SEMITONES, (len(recordings), 2)).tolist()

    def features_of(job: tuple[Recording, list[float]]) -> list[tuple[Recording, Tensor]]:
        recording, (up, down) = job
        clip = files.read(corpus.clip_path(recording))
        found = [features(clip)]
        if recording.f0_high_hz:
            found += [features_at_pitch(clip, semitones, recording.f0_high_hz) for semitones in (up, -down)]
        return [(recording, mel) for mel in found]

    every = []
    for number, group in enumerate(threads.map_in_order(features_of, zip(recordings, moves, strict=True), workers=0)):
        every += group
        progress(Progress(number + 1, len(recordings)))
    return every


def augment(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Change a batch in what must not matter: the tone of the room, the noise below, the bandwidth.

    Args:
        mel: `[B, 80, F]` of `features`.
        generator: chance.
    """
    n_clips, n_mels = mel.shape[0], mel.shape[1]
    tone = torch.randn(n_clips, 1, 5, generator=generator) * _TONE
    mel = mel + functional.interpolate(tone, n_mels, mode="linear", align_corners=True).transpose(1, 2)
    top = mel.amax(dim=(1, 2), keepdim=True)
    noise = top - (2.0 + 2.0 * torch.rand(n_clips, 1, 1, generator=generator))  # 43 to 87 dB below the loudest band
    mel = torch.maximum(mel, noise)
    cut = torch.randint(n_mels * 2 // 3, 2 * n_mels, (n_clips,), generator=generator)  # a half are not cut
    is_kept = torch.arange(n_mels)[None, :, None] < cut[:, None, None]
    return torch.where(is_kept, mel, mel.amin(dim=(1, 2), keepdim=True))


def crop(mel: Tensor, n_frames: int, generator: torch.Generator) -> Tensor:
    """A random stretch of `[80, F]`, repeated if it is too short: `[80, n_frames]`."""
    if mel.shape[1] < n_frames:
        mel = mel.repeat(1, -(-n_frames // mel.shape[1]))
    start = int(torch.randint(mel.shape[1] - n_frames + 1, (), generator=generator))
    return mel[:, start : start + n_frames]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights and dropout from a seed inside, and leave the global generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def kept(corpus: Corpus, name: str, key: Mapping[str, object], net: nn.Module, fit: Callable[[], None]) -> None:
    """Fill a net with the weights kept for it beside the data, or fit it now and keep them.

    Args:
        corpus: whose folder keeps them, and whose fingerprint they belong to.
        name: of the judge.
        key: all that the weights depend on besides the recordings; JSON types.
        net: filled in place.
        fit: fits the net; called if nothing is kept, or what is kept is damaged or of another key.

    Raises:
        ModelFileError: the weights cannot be kept there.
    """
    whole = json.dumps({"data": corpus.fingerprint, **key}, sort_keys=True, ensure_ascii=False)
    path = corpus.folder / FOLDER / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}.safetensors"
    if path.is_file() and _filled(net, path, whole):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # refused before the long work
        raise ModelFileError(
            f"{path.parent}: cannot be made ({error.strerror}); judges are kept beside the data; let it be written to"
        ) from error
    fit()
    checkpoint.write(path, "judge", net.state_dict(), {"key": whole})


def _filled(net: nn.Module, path: Path, key: str) -> bool:
    try:
        tensors, header = checkpoint.read(path, "judge")
        if header.get("key") != key:
            return False
        checkpoint.load_strictly(net, tensors, str(path))
    except ModelFileError:
        return False  # it is only a cache: fitted again, it is as good
    return True


def _waveform(clip: Clip) -> Tensor:
    """Samples at the rate and the level of the judges; at least one."""
    samples = resample.resample_clip(clip, SPECTRAL.sample_rate).samples
    sung_dbfs = level.sung_level_dbfs(level.measure(samples, SPECTRAL.sample_rate).frame_dbfs) if len(samples) else 0.0
    if len(samples) and sung_dbfs > level.FLOOR_DBFS:
        samples = level.apply_gain(samples, _LEVEL_DBFS - sung_dbfs)
    return torch.from_numpy(samples if len(samples) else np.zeros(1, np.float32))


def _normalised(mel: Tensor) -> Tensor:
    return spectral.centred(mel, _MIDDLE_MEL)


def _envelope(logarithm: Tensor, top_hz: float) -> Tensor:
    """The slow part of log spectra `[bins, F]` along frequency."""
    longest = min(max(_LIFTER * SPECTRAL.sample_rate / top_hz, 8.0), (len(logarithm) - 1) / 2)
    return spectral.cepstral_envelope(logarithm, longest)
