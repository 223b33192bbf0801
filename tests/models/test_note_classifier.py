"""Notes of latent frames, by hand, and the net that reads them."""

from __future__ import annotations

import torch

from moksori.models import notes
from moksori.models.notes import NO_NOTE, NoteClassifier, NoteConfig


def test_the_note_is_the_mean_of_the_voiced_frames() -> None:
    f0_hz = torch.tensor([[440.0, 440.0, 0.0, 440.0 * 2 ** (2 / 12), 0.0, 0.0, 261.6, 0.0]])
    assert notes.of(f0_hz, 4).tolist() == [[69 - 36, 71 - 36, NO_NOTE, 60 - 36]]
    assert notes.of(f0_hz[:, :4], 1).tolist() == [[70 - 36]]  # two at A4, one at B4: two thirds above A4


def test_notes_beyond_the_ends_count_as_the_nearest() -> None:
    assert notes.of(torch.tensor([[40.0, 1900.0]]), 2).tolist() == [[0, notes.N_NOTES - 1]]


def test_a_note_begins_and_ends_a_quarter_tone_from_its_middle() -> None:
    cents = torch.tensor([[-51.0, -49.0, 49.0, 51.0]])
    assert notes.of(440.0 * 2 ** (cents / 1200), 4).tolist() == [[68 - 36, 69 - 36, 69 - 36, 70 - 36]]


def test_it_learns_to_read_notes() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NoteClassifier(NoteConfig(16), 4)
    adam, chance = torch.optim.Adam(net.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(100):
        note = torch.randint(3, (8, 10), generator=chance)
        loss = torch.nn.functional.cross_entropy(net(torch.nn.functional.one_hot(note, 4).mT.float()), note)
        adam.zero_grad(), loss.backward(), adam.step()
    assert loss.item() < 0.1
    assert net(torch.zeros(2, 4, 7)).shape == (2, notes.N_NOTES, 7)
