"""Singers for the judges: two invented voices, and what they sing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import synthetic
from synthetic import Note, Singer

from moksori.audio import files
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.evaluation import held_out


@pytest.fixture(scope="session", autouse=True)
def quick_probe() -> Iterator[None]:
    """The probe is trained for a moment; `judges/test_probe.py` asks it itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "_PROBE_STEPS", 20)
        yield


@pytest.fixture(scope="session")
def sung(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, dict[str, str]]:
    """Two singers, three vowels in random order, and what they sing."""
    songs, rng = tmp_path_factory.mktemp("songs"), np.random.default_rng(0)
    texts = {}
    for singer in (
        Singer("a", vibrato_cents=0.0),
        Singer("b", formant_scale=1.25, tilt_db_per_octave=-6.0, vibrato_cents=0.0),
    ):
        for number in range(14):
            vowels = "".join(rng.permutation(list("aiu")))
            song = [Note(midi=50, seconds=0.25, vowel=vowel) for vowel in vowels]
            clip = synthetic.render(song, singer, 16000, rng).clip
            (songs / singer.name).mkdir(exist_ok=True)
            files.write(songs / singer.name / f"{number}.wav", clip)
            texts[f"{singer.name}/{number}.wav"] = "-".join(vowels)
    return prepare(songs, tmp_path_factory.mktemp("data"), PrepareConfig(sample_rate=16000, workers=2)), texts
