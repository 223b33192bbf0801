"""The command line, called in this process, and what its tests convert with."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from calling import Moksori, Outcome, write_song

from moksori import checkpoint
from moksori.checkpoint import Provenance
from moksori.cli import app
from moksori.models.autoencoder import Autoencoder
from moksori.training.recipe import Recipe


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Training catches signals; the next test shall not."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def moksori(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Moksori:
    """Call `moksori` with arguments, as the console script does."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["moksori", *map(str, arguments)])
        monkeypatch.setenv("TERMINAL_WIDTH", "160")
        capsys.readouterr()
        code = 0
        try:
            app.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_song(tmp_path / "song.wav")


@pytest.fixture(scope="session")
def model_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice of three singers with weights of chance, one of them with a name that is no file name."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = dataclasses.replace(tiny_recipe.model, sample_rate=1000)
        model = Autoencoder(config, ["bass", "tenor", "../목소리\n"])
    path = tmp_path_factory.mktemp("model") / "voice.safetensors"
    checkpoint.write_model(path, model, Provenance("moksori 0", "tiny", 7, 3.0, "f" * 64, licence_note="free to all"))
    return path
