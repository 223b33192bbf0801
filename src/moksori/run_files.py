"""Where model files lie, for those who look into one without loading it: in a run's folder, and in the package."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from moksori import documents

MODEL = "model.safetensors"  # the model as of the last save; all that conversion needs
BEST = "best.safetensors"  # the model whose conversions were the best, where they were scored
FACTS = "run.json"  # seed, singers, fingerprint of the data; tells that a folder is a run's
RECIPE = "recipe.toml"
JOURNAL = "journal.jsonl"
SAMPLES = "samples"
SHIPPED_VOICE = "first.safetensors"  # the voice that comes with the package, in its folder `voices`
BASE = "base"  # what recipes and the command line call it

_LONGEST_HEADER = 1 << 26  # bytes; what is longer is left to the reader, which says what is wrong


def shipped_voice() -> Traversable:
    """The file of the voice that comes with the package."""
    return resources.files("moksori") / "voices" / SHIPPED_VOICE


def model_file(path: str | Path) -> Path:
    """The model file that a path names: the file itself, or that of a training run's folder.

    Of a run, the model with the best conversions is taken if they were scored, else the last one.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    return path / (BEST if (path / BEST).is_file() else MODEL)


def header_value(file: Path | Traversable, key: str) -> Any:
    """What the head of a model file says under a key, such as "singers" or "provenance"; None where it cannot be read.

    A safetensors file begins with eight bytes, the length of the JSON that follows; ours keeps JSON in its metadata.
    Nothing is checked: `checkpoint.read_model` does that.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = documents.from_json(opened.read(length)) if length <= _LONGEST_HEADER else {}
        return documents.from_json(header["__metadata__"][key])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
