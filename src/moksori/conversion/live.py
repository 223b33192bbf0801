"""Live: a microphone in, another voice out, a fixed time later; from a sound card, or from a file as if it were one.

A device calls with a block and takes a block. What can go wrong there is counted: blocks that the device lost (xruns),
and blocks that took longer than they last.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moksori import arguments
from moksori.audio import files, level, mixdown
from moksori.audio.clip import Samples
from moksori.audio.resample import BlockResampler, StreamResampler
from moksori.conversion.options import ConvertOptions
from moksori.conversion.voice import Voice
from moksori.errors import UserError
from moksori.generation.songs.live import LiveConfig, LiveSong
from moksori.models import kinds

Processed = Callable[[Samples, bool], Samples]
"""Takes a block `[n]` and whether the device lost something before it, gives one as long."""


class Device(Protocol):
    """What plays and records at once."""

    def rate_for(self, sample_rate: int) -> int:
        """The rate that it will be run at, if a voice has this one."""

    def run(self, process: Processed, sample_rate: int, block_samples: int, until: Callable[[], bool]) -> None:
        """Call `process` for every block until stopped."""


@dataclass
class Meter:
    """What happened so far."""

    in_dbfs: float = level.FLOOR_DBFS  # of the last block
    out_dbfs: float = level.FLOOR_DBFS
    n_blocks: int = 0
    n_lost: int = 0  # blocks before which the device lost sound
    n_late: int = 0  # blocks that took longer than they last
    loads: list[float] = field(default_factory=list)  # processor time of a block over its length, the last minutes

    def load(self, quantile: float) -> float:
        """A quantile of the loads; 0 before the first block."""
        return float(np.quantile(self.loads, quantile)) if self.loads else 0.0


class Live:
    """A voice that sings along.

    Args:
        voice: with a detail path.
        singer: a name, or shares of singers.
        transpose_semitones: what is sung is so much higher.
        detail: how much of the source's own sound goes along; None for what the voice was made for.
        config: blocks and look-ahead.

    Raises:
        UserError: an unknown singer, or a voice that cannot sing live.
    """

    def __init__(
        self,
        voice: Voice,
        singer: str | dict[str, float],
        transpose_semitones: float = 0.0,
        detail: float | None = None,
        config: LiveConfig | None = None,
    ) -> None:
        arguments.of_type(voice, Voice, "voice", "a moksori.Voice, as `moksori.load()` gives")
        # The same rules as for a conversion, but that nobody knows yet where it will be sung.
        ConvertOptions(transpose=arguments.number(transpose_semitones, "transpose_semitones", "-12"), detail=detail)
        model, vector = voice.model, voice.vector(singer)
        if not kinds.is_source_filter(model) or not model.config.decoder.has_detail:
            raise UserError(
                "this voice cannot sing live: that takes a detail path. Train with the present recipe swift"
            )
        self.song = LiveSong(
            model,
            vector,
            config,
            transpose_semitones=transpose_semitones,
            gain=detail,
            level_dbfs=voice.provenance.level_dbfs,
        )
        self.sample_rate = voice.sample_rate
        self.meter = Meter()

    def process(self, block: Samples, is_after_loss: bool = False) -> Samples:
        """Sing a block; see `Processed`. Nothing leaves above full scale.

        Raises:
            TypeError: the block is no array.
            ValueError: it is none of float32 and of the length of a block.
        """
        arguments.of_type(block, np.ndarray, "block", "a float32 array")
        began, began_processor = time.perf_counter(), time.thread_time()
        is_sound = np.abs(block) <= mixdown.MOST_HEADROOM  # NaN is not
        if not is_sound.all():  # a slip of a driver; NaN would stay for ever
            block = np.where(is_sound, block, np.float32(0.0))
        sung = level.soft_limit(self.song.push(block))
        seconds = len(block) / self.sample_rate
        meter = self.meter
        meter.n_blocks += 1
        meter.n_lost += is_after_loss
        meter.n_late += time.perf_counter() - began > seconds
        meter.loads = [*meter.loads[-10_000:], (time.thread_time() - began_processor) / seconds]
        meter.in_dbfs, meter.out_dbfs = level.rms_dbfs(block), level.rms_dbfs(sung)
        return sung

    def warm_up(self) -> None:
        """Run once on silence: the first call of a net takes longer than all that follow."""
        spare = LiveSong(self.song.model, self.song.vector, self.song.config)
        for _ in range(8):
            spare.push(np.zeros(spare.block_samples, np.float32))


class AtRate:
    """A voice that sings along at the rate of a device, which may be another one than the voice's.

    Raises:
        UserError: a block of the voice is no whole number of the device's samples.
    """

    def __init__(self, live: Live, device_rate: int) -> None:
        self._live = live
        own = live.song.block_samples
        if own * device_rate % live.sample_rate:
            raise UserError(
                f"the sound card works at {device_rate} Hz, which {own} samples at {live.sample_rate} Hz do not fit; "
                "set it to 44100 or 48000 Hz"
            )
        self.block_samples = own * device_rate // live.sample_rate
        self._into, self._out_of = BlockResampler(self.block_samples, own), BlockResampler(own, self.block_samples)
        self._is_same = device_rate == live.sample_rate
        delays = self._into.delay_samples / device_rate + self._out_of.delay_samples / live.sample_rate
        self.extra_seconds = 0.0 if self._is_same else delays  # later than the voice is by itself

    def process(self, block: Samples, is_after_loss: bool = False) -> Samples:
        """See `Processed`."""
        if self._is_same:
            return self._live.process(block, is_after_loss)
        return level.soft_limit(self._out_of.push(self._live.process(self._into.push(block), is_after_loss)))


def convert_file(live: Live, source: Path, destination: Path) -> None:
    """Sing a file as it would be sung live, and take the delay out again: as long as the source, one channel.

    Raises:
        AudioFileError: the source cannot be read, or the destination cannot be written.
    """
    source, destination = arguments.path(source, "source"), arguments.path(destination, "destination")
    info = files.probe(source)
    into = StreamResampler(info.sample_rate, live.sample_rate)
    out_of = StreamResampler(live.sample_rate, info.sample_rate)
    n_late = live.song.delay_frames * live.song.hop_samples  # at the voice's rate

    def brought() -> Iterator[Samples]:
        for block in files.read_mono_blocks(source):
            yield into.push(block)
        yield into.flush()
        yield np.zeros(n_late + live.song.block_samples, np.float32)

    done, left = 0, info.n_samples
    with files.Writer(destination, info.sample_rate, 1) as writer:
        for block in _regrouped(brought(), live.song.block_samples):
            sung = live.process(block)
            kept = sung[max(0, n_late - done) :]
            done += len(sung)
            ready = out_of.push(np.ascontiguousarray(kept))[:left]
            writer.write(ready[:, None])
            left -= len(ready)
        rest = out_of.flush()[:left]
        writer.write(np.pad(rest, (0, left - len(rest)))[:, None])


def _regrouped(blocks: Iterator[Samples], n_samples: int) -> Iterator[Samples]:
    """Whole blocks of one length; what does not fill one is left out."""
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= n_samples:
            yield waiting[:n_samples]
            waiting = waiting[n_samples:]


class SoundCard:
    """The sound card, by the package sounddevice (PortAudio).

    Raises:
        UserError: the package is not installed, or there is no such device.
    """

    def __init__(self, given_input: str | None = None, given_output: str | None = None) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise UserError(f"live needs sounddevice and PortAudio ({error}); pip install 'moksori[live]'") from error
        self._sounddevice: Any = sounddevice
        self._devices = tuple(int(name) if name and name.isdigit() else name for name in (given_input, given_output))

    def names(self) -> str:
        """The devices there are, as a table."""
        return str(self._sounddevice.query_devices())

    def rate_for(self, sample_rate: int) -> int:
        """The voice's rate if both devices take it, else the one that the output works at."""
        module, (given_input, given_output) = self._sounddevice, self._devices
        try:
            module.check_input_settings(device=given_input, channels=1, dtype="float32", samplerate=sample_rate)
            module.check_output_settings(device=given_output, channels=1, dtype="float32", samplerate=sample_rate)
        except (module.PortAudioError, ValueError):
            with contextlib.suppress(module.PortAudioError, ValueError, KeyError):
                return round(float(module.query_devices(given_output, "output")["default_samplerate"]))
        return sample_rate

    def run(self, process: Processed, sample_rate: int, block_samples: int, until: Callable[[], bool]) -> None:
        """See `Device`."""

        def callback(indata: Any, outdata: Any, _: int, __: Any, status: Any) -> None:
            outdata[:, 0] = process(np.ascontiguousarray(indata[:, 0]), bool(status))

        try:
            with self._sounddevice.Stream(
                samplerate=sample_rate,
                blocksize=block_samples,
                device=self._devices,
                channels=1,
                dtype="float32",
                latency="low",
                callback=callback,
            ):
                while not until():
                    self._sounddevice.sleep(100)
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise UserError(f"the sound card refuses: {error}; moksori live --devices lists what there is") from error
