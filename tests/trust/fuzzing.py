"""Bytes that nobody wrote: honest files, bitten, joined, cut and spliced; and the readers that they are given to.

Run as a program in a process of its own, with bounded memory: `python fuzzing.py FIRST LAST FOLDER KIND...`; it prints
how many were read and how many refused, and ends with a traceback at the first that was neither.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from moksori import checkpoint, presets
from moksori.audio import f0_file, files
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as reports
from moksori.training import recipe as recipes

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
)


def _sound(suffix: str) -> bytes:
    times = np.arange(4000) / 8000
    content = io.BytesIO()
    soundfile.write(content, 0.3 * np.sin(2 * np.pi * 220 * times), 8000, format=suffix.upper())
    return content.getvalue()


def _model() -> bytes:
    import forging
    from safetensors.torch import save

    tensors, header = forging.honest(forging.configs()["features"])
    told = {**header, "moksori_kind": "model", "moksori_format": "1", "sha256": checkpoint.fingerprint(tensors)}
    return save(tensors, {**told, "header_sha256": checkpoint._header_checksum(told)})


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
    "texts": ("t.tsv", lambda: b"file\ttext\nana/a.wav\tla la\n", Texts.load),
    "report": ("report.json", lambda: b'{"version": 1, "rows": [], "items": []}', reports.load),
    "wav": ("s.wav", lambda: _sound("wav"), files.read),
    "flac": ("s.flac", lambda: _sound("flac"), files.read),
    "ogg": ("s.ogg", lambda: _sound("ogg"), files.read),
    "mp3": ("s.mp3", lambda: _sound("mp3"), files.read),
    "aiff": ("s.aiff", lambda: _sound("aiff"), files.read),
}


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
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20,) * 2)


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


def main() -> None:
    """See the module."""
    first, last, folder, *kinds = sys.argv[1:]
    limit_memory(Path(folder), kinds)
    for kind in kinds:
        print(kind, *try_all(kind, range(int(first), int(last)), Path(folder)))


if __name__ == "__main__":
    main()
