"""Names in the folder of a training run, for those who look into one without loading a model."""

from __future__ import annotations

from pathlib import Path

MODEL = "model.safetensors"  # the model as of the last save; all that conversion needs
BEST = "best.safetensors"  # the model whose conversions were the best, where they were scored
FACTS = "run.json"  # seed, singers, fingerprint of the data; tells that a folder is a run's
RECIPE = "recipe.toml"
JOURNAL = "journal.jsonl"
SAMPLES = "samples"


def model_file(path: str | Path) -> Path:
    """The model file that a path names: the file itself, or that of a training run's folder.

    Of a run, the model with the best conversions is taken if they were scored, else the last one.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    return path / (BEST if (path / BEST).is_file() else MODEL)
