"""Sing a song by the ONNX files of `moksori export`, with onnxruntime and numpy: torch is not needed.

    python demo/sing_by_onnx.py FOLDER SONG SINGER OUT.wav [SEMITONES]

For voices with a detail path. `docs/guide/en/export.md` says what each file takes and gives.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from moksori.audio import envelopes, files, level, pitch, resample
from moksori.audio.clip import Clip, Samples


def sing(folder: Path, clip: Clip, singer: str, semitones: float = 0.0, stretch: int = 200) -> Samples:
    """The song at the voice's rate and level; only the synthesiser is run in stretches."""
    voice = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
    nets = {path.stem: onnxruntime.InferenceSession(path) for path in folder.glob("*.onnx")}
    rate, hop, context = voice["sample_rate"], voice["hop_samples"], voice["synthesiser_context_frames"]
    gain_db = level.gain_for_singing(level.measure(clip.samples, clip.sample_rate), voice["level_dbfs"])
    samples = resample.resample(level.apply_gain(clip.samples, gain_db), clip.sample_rate, rate)
    place = np.arange(-(-len(samples) // hop))
    heard_hz = pitch.at_times(pitch.PitchTracker().track(clip), place * (hop / rate))
    measured = envelopes.measure(samples, heard_hz, envelopes.EnvelopeConfig(rate, hop, voice["n_bands"]))
    sung_hz = measured.f0_hz * 2.0 ** (semitones / 12)

    given = {"harmonics": measured.harmonics, "noise": measured.noise, "f0_hz": measured.f0_hz}
    shape, loud = nets["shape"].run(None, {name: row[None].astype(np.float32) for name, row in given.items()})
    voiced = np.flatnonzero(sung_hz > 0)
    is_loud = loud[0, voiced] > np.quantile(loud[0, voiced], 0.95) - 2.0 if len(voiced) else voiced
    mean = shape[0][:, voiced[is_loud]].mean(axis=1) if len(voiced) else np.array(voice["mean_shape"])
    told = {"shape": shape, "level": loud, "f0_hz": sung_hz, "mean_shape": mean, "gain": voice["gain"]}
    told = {name: np.asarray(v, np.float32)[(None,) * (np.ndim(v) < 2)] for name, v in told.items()}
    told["latent"] = nets["encoder"].run(None, {name: told[name] for name in told if name != "gain"})[0]
    told["singer"] = np.array([voice["singers"][singer]["vector"]], np.float32)
    harmonics, noise = nets["decoder"].run(None, told)

    known = voiced if len(voiced) else place[:1]  # unvoiced frames take the pitch of the nearest voiced one
    after = known[np.minimum(np.searchsorted(known, place), len(known) - 1)]
    before = known[np.maximum(np.searchsorted(known, place, "right") - 1, 0)]
    pitch_hz = np.maximum(sung_hz[np.where(place - before <= np.abs(after - place), before, after)], 30.0)
    step = np.diff(np.log(pitch_hz), append=np.log(pitch_hz[-1])) / hop
    series = np.where(np.abs(step) < 1e-12, hop, np.expm1(step * hop) / np.expm1(np.where(step == 0, 1, step)))
    cycles = np.cumsum(pitch_hz * series / rate) - pitch_hz * series / rate
    white = np.random.default_rng(0).standard_normal((len(place), hop)).astype(np.float32)
    numbers = np.arange(1, int(rate / 2 / pitch_hz.min()) + 1)
    sound = []
    for start in range(0, len(place), stretch):
        first = max(0, start - context)
        part = slice(first, min(len(place), start + stretch + context))
        frames = {"harmonics": harmonics[..., part], "noise": noise[..., part], "f0_hz": told["f0_hz"][:, part]}
        rows = {"pitch_hz": pitch_hz[part], "cycles": cycles[part], "white": white[part], "numbers": numbers}
        (found,) = nets["synthesiser"].run(None, frames | rows)
        sound.append(found[(start - first) * hop :][: stretch * hop])
    return np.asarray(level.apply_gain(np.concatenate(sound)[: len(samples)], -gain_db))


if __name__ == "__main__":
    folder, song, singer, out = sys.argv[1:5]
    clip = files.read(Path(song))
    sung = sing(Path(folder), clip, singer, float(sys.argv[5]) if len(sys.argv) > 5 else 0.0)
    rate = json.loads((Path(folder) / "voice.json").read_text(encoding="utf-8"))["sample_rate"]
    files.write(Path(out), Clip(sung, rate))
