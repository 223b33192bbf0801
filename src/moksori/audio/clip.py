"""`Clip`: samples with their sample rate, the one type of sound in public signatures."""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori import arguments

Samples = npt.NDArray[np.float32]
"""Sound as floats, nominally in [-1, 1]: `[T]` when mono, `[T, channels]` in a block of a file."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A mono recording in memory.

    A decoded mp3 or a float file may step a little outside [-1, 1]; that is kept here, and clipped where it is
    coded (`mulaw`) or written (`files`). A clip may be empty; it may not hold NaN or infinity.

    Raises:
        ValueError: the samples are not finite float32 `[T]`, or the rate is not a positive whole number.

    >>> Clip(np.zeros(8000, np.float32), 16000).seconds
    0.5
    """

    samples: Samples  # [T], float32
    sample_rate: int  # Hz

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype != np.float32 or samples.ndim != 1:
            found = f"{getattr(samples, 'dtype', type(samples))} {list(np.shape(samples))}"
            raise ValueError(f"samples are {found}; a Clip holds a float32 array [T]")
        if not np.isfinite(samples).all():
            raise ValueError("samples hold NaN or infinity")
        try:
            rate = arguments.whole_number(self.sample_rate, "sample_rate", "44100")
        except TypeError as error:
            raise ValueError(str(error)) from None
        if rate < 1:
            raise ValueError(f"sample_rate is {self.sample_rate!r}; expected a positive number of Hz")
        object.__setattr__(self, "sample_rate", rate)

    def __repr__(self) -> str:
        """How long, at which rate, how loud; not the samples."""
        peak = float(np.abs(self.samples).max(initial=0.0))
        return f"<Clip of {self.seconds:.2f} s at {self.sample_rate} Hz, peak {peak:.3f}>"

    def _repr_html_(self) -> str:
        """A player, for notebooks; the sound is in the page as 16-bit WAV."""
        content = io.BytesIO()
        with wave.open(content, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(np.round(self.samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
        data = base64.b64encode(content.getvalue()).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio> {self.seconds:.2f} s'

    @property
    def n_samples(self) -> int:
        """Length T in samples."""
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate
