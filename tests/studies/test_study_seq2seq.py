"""Encoder, decoder, attention, greedy and beam search."""

from __future__ import annotations

import math

import pytest
import torch

from moksori_studies.recurrent import Gated
from moksori_studies.seq2seq import Translator, TranslatorConfig
from moksori_studies.subwords import END, PAD, START
from moksori_studies.training import chance, padded

N = 12


def translator(has_attention: bool = True, seed: int = 0, scale: float = 1.0) -> Translator:
    with chance(seed):
        model = Translator(TranslatorConfig(N, N, 8, has_attention, 0.3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model.eval()


def sources(n: int = 12) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 8, (n,), generator=generator).tolist()
    return [[*torch.randint(5, N, (length,), generator=generator).tolist(), END] for length in lengths]


@pytest.mark.parametrize("has_attention", [True, False])
def test_a_sentence_is_translated_alike_in_any_company(has_attention: bool) -> None:
    model = translator(has_attention, scale=3.0)
    together = model.greedy(padded(sources()), 9)
    assert together == [model.greedy(torch.tensor([source]), 9)[0] for source in sources()]
    assert len({tuple(said) for said in together}) > 3  # they differ, so the test can fail


@torch.no_grad()
@pytest.mark.parametrize("has_attention", [True, False])
def test_the_loss_is_that_of_saying_the_target_piece_by_piece(has_attention: bool) -> None:
    model = translator(has_attention)
    source, target = torch.tensor([[6, 7, 8, END]]), torch.tensor([[START, 9, 10, 11, END]])
    encoded = model.encoder(source)
    state, total = encoded.start, 0.0
    for before, wanted in zip(target[0, :-1], target[0, 1:], strict=True):
        features, state = model.decoder.features(before[None, None], encoded, state)
        total -= float(model.decoder.logits(features[0, 0]).log_softmax(-1)[wanted])
    assert float(model.loss(source, target)) == pytest.approx(total / 4, rel=1e-5)


def test_what_fills_up_a_batch_does_not_count() -> None:
    model = translator()
    short = ([6, END], [START, 9, END])
    long = ([6, 7, 8, 9, END], [START, 9, 10, 11, 8, END])
    alone = [model.loss(torch.tensor([a]), torch.tensor([b])).item() for a, b in (short, long)]
    both = model.loss(padded([short[0], long[0]]), padded([short[1], long[1]])).item()
    assert both == pytest.approx((alone[0] * 2 + alone[1] * 5) / 7, rel=1e-5)


def test_attention_looks_at_pieces_only() -> None:
    model = translator()
    encoded = model.encoder(torch.tensor([[6, 7, END, PAD, PAD]]))
    assert model.decoder.attention is not None
    weights = model.decoder.attention.weights(torch.randn(1, 4, 8), encoded)
    assert weights[..., 3:].abs().max() == 0.0
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4))


def test_without_attention_only_the_last_state_passes() -> None:
    model = translator(has_attention=False)
    source, target = torch.tensor([[6, 7, END]]), torch.tensor([[START, 9, END]])
    with torch.no_grad():
        model.encoder.bridge.weight.zero_()
        model.encoder.bridge.bias.zero_()
    other = torch.tensor([[8, 9, END]])
    assert float(model.loss(source, target)) == float(model.loss(other, target))
    with_attention = translator(has_attention=True)
    with torch.no_grad():
        with_attention.encoder.bridge.weight.zero_()
        with_attention.encoder.bridge.bias.zero_()
    assert float(with_attention.loss(source, target)) != float(with_attention.loss(other, target))


@pytest.mark.parametrize("has_attention", [True, False])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_a_beam_of_one_is_greedy(has_attention: bool, scale: float) -> None:
    model = translator(has_attention, seed=3, scale=scale)
    for source in sources():
        (greedy,) = model.greedy(torch.tensor([source]), 9)
        assert model.beam(torch.tensor(source), 9, 1) == greedy


@torch.no_grad()
def log_probability(model: Translator, source: list[int], said: list[int]) -> float:
    """Of a sentence with its end, among sentences without PAD and START."""
    encoded = model.encoder(torch.tensor([source]))
    features, _ = model.decoder.features(torch.tensor([[START, *said]]), encoded, encoded.start)
    scores = model.decoder.logits(features[0])
    scores[:, [PAD, START]] = -math.inf
    return float(scores.log_softmax(-1)[range(len(said) + 1), [*said, END]].sum())


def test_a_wide_beam_finds_the_likeliest_of_all_sentences() -> None:
    # All sentences of at most 2 pieces, tried one by one; longer ones are rarer still where the end is likely.
    model = translator(seed=4, scale=2.0)
    with torch.no_grad():
        model.decoder.bias[END] = 1.5
    pieces = [i for i in range(N) if i not in (PAD, START, END)]
    for source in sources(3):
        every = [[], *([i] for i in pieces), *([i, j] for i in pieces for j in pieces)]
        best = max(every, key=lambda said: log_probability(model, source, said))
        found = model.beam(torch.tensor(source), 6, 120)
        assert found == best or log_probability(model, source, found) > log_probability(model, source, best)


def test_a_wider_beam_can_find_what_greedy_misses() -> None:
    gains = []
    for seed in range(4):
        model = translator(seed=seed, scale=3.0)
        with torch.no_grad():
            model.decoder.bias[END] = 1.0
        for source in sources(8):
            (greedy,) = model.greedy(torch.tensor([source]), 12)
            wide = model.beam(torch.tensor(source), 12, 50)
            if len(greedy) == 12:
                continue  # it found no end
            gains.append(log_probability(model, source, wide) - log_probability(model, source, greedy))
    assert len(gains) > 10
    assert max(gains) > 0.01
    assert min(gains) > -1e-4


def test_greedy_says_the_same_twice_and_stops_at_the_end() -> None:
    model = translator(scale=3.0)
    source = padded(sources())
    assert model.greedy(source, 9) == model.greedy(source, 9)
    with torch.no_grad():
        model.decoder.bias[END] = 100.0
    assert model.greedy(source, 9) == [[]] * len(source)
    assert model.beam(source[0], 9, 3) == []


def test_never_is_filling_or_a_start_said() -> None:
    model = translator()
    with torch.no_grad():
        model.decoder.bias[[PAD, START]] = 100.0
    assert not {PAD, START} & {piece for said in model.greedy(padded(sources()), 9) for piece in said}


def test_the_decoder_s_recurrence_is_the_cell_that_is_written_out() -> None:
    # PyTorch has a second bias on the state, of which only that inside the reset gate is no sum with the first.
    recurrence = translator().decoder.recurrence
    cell = Gated(8, 8)
    with torch.no_grad():
        recurrence.bias_hh_l0.zero_()
        cell.from_input.copy_(recurrence.weight_ih_l0)
        cell.from_state.copy_(recurrence.weight_hh_l0)
        cell.bias.copy_(recurrence.bias_ih_l0)
    inputs = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cell(inputs), recurrence(inputs)[0])


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="width 7: expected an even number"):
        TranslatorConfig(N, N, 7)
