"""What an encoder lets through: known answers on invented views, and on invented singers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation import leaks
from moksori.evaluation.leaks import LATENT, SOUND, UNTRAINED, Stretches
from moksori.models import notes
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.progress import Progress
from moksori.training import recipe as recipes


def _invented(n: int, seed: int) -> Stretches:
    """Two singers in turn and three notes at random; each view tells one thing, both or neither."""
    generator = torch.Generator().manual_seed(seed)
    singer, note = torch.arange(n) % 2, torch.randint(3, (n,), generator=generator)

    def view(*labels_seen: Tensor) -> Tensor:
        noise = torch.randn(n, 4, 5, generator=generator)
        for channel, label in enumerate(labels_seen):
            noise[:, channel] += 4.0 * label[:, None]
        return noise

    views = {"both": view(singer, note), "singer": view(singer), "note": view(note), "neither": view()}
    return Stretches(views, singer, torch.where(torch.arange(n) % 10 == 0, notes.NO_NOTE, note))


def test_each_view_is_read_for_what_it_tells_and_no_more() -> None:
    found = leaks.compare(_invented(200, 0), _invented(200, 1), n_steps=50)
    assert found.singer_chance == 0.5 and found.n_stretches == 200 and found.n_notes == 180
    assert found.note_chance == pytest.approx(1 / 3, abs=0.08)
    for name, tells_singer, tells_note in (
        ("both", True, True),
        ("singer", True, False),
        ("note", False, True),
        ("neither", False, False),
    ):
        reading = found.readings[name]
        assert reading.note is not None
        assert (reading.singer > 0.95) if tells_singer else (reading.singer == pytest.approx(0.5, abs=0.13)), name
        assert (reading.note > 0.9) if tells_note else (reading.note < 0.5), name


@pytest.mark.parametrize("has_notes", [True, False])
def test_progress_ends_with_all_probes(has_notes: bool) -> None:
    views = _invented(20, 0)
    taught = views if has_notes else replace(views, note=torch.full((20,), notes.NO_NOTE))
    labels_seen: list[Progress] = []
    found = leaks.compare(taught, views, on_progress=labels_seen.append, n_steps=1)
    assert (found.note_chance is not None) == has_notes
    assert [progress.done for progress in labels_seen] == list(range(1, len(labels_seen) + 1))
    assert labels_seen[-1].share == 1.0


def test_a_note_is_one_that_stands() -> None:
    a3, glide = torch.full((20,), 220.0), 220.0 * 2 ** torch.linspace(0, 0.5, 20)
    half = torch.where(torch.arange(20) < 10, a3, 0.0)
    found = leaks.note_of(torch.stack([a3, 2 * a3, glide, half, torch.zeros(20)]))
    assert found.tolist() == [57 - notes.LOWEST_MIDI, 69 - notes.LOWEST_MIDI, *[notes.NO_NOTE] * 3]


def test_an_encoder_that_says_nothing_leaves_nothing_and_the_sound_tells_who_sings(
    tiny_swift: SourceFilterModel, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bass and tenor differ in all that is heard of them."""
    heard = SourceFilterModel.encode
    monkeypatch.setattr(
        SourceFilterModel,
        "encode",
        lambda model, clips: heard(model, clips) * (0.0 if model is tiny_swift else 1.0),
    )
    seen: list[str] = []
    found = leaks.read(tiny_swift, tiny_corpus, 0, lambda progress: seen.append(progress.name), 30)
    assert found.n_singers == 2 and found.readings[SOUND].singer > 0.7
    assert found.readings[LATENT].singer == found.singer_chance == 0.5
    assert found.readings[UNTRAINED].singer > 0.6
    assert list(dict.fromkeys(seen)) == [SOUND, UNTRAINED, LATENT]


def test_an_encoder_of_codes_is_read_too(tiny_corpus: Corpus) -> None:
    config = recipes.load("smoke").model
    assert isinstance(config, ModelConfig)
    model = Autoencoder(config, ["a", "b", "c"])
    first, again = (leaks.read(model, tiny_corpus, n_steps=12) for _ in range(2))
    assert first == again and first.readings[SOUND].singer > 0.7
    assert 0.0 <= first.readings[LATENT].singer <= 1.0


def test_recordings_none_of_which_is_held_out_are_refused(tiny_swift: SourceFilterModel, tiny_corpus: Corpus) -> None:
    with pytest.raises(DataError, match="no recording is held out"):
        leaks.read(tiny_swift, replace(tiny_corpus, recordings=tiny_corpus.of("train")))
