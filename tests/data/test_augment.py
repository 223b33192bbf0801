import pytest
import torch

from moksori.audio import mulaw
from moksori.data import augment

ALL_CODES = torch.arange(256)


@pytest.mark.parametrize("choice", range(augment.N_CHOICES))
def test_every_choice_undoes_itself(choice: int) -> None:
    once = augment.augment(ALL_CODES, choice)
    assert torch.equal(augment.augment(once, choice), ALL_CODES)


def test_the_four_choices_differ() -> None:
    codes = torch.tensor([3, 7, 9])
    assert len({tuple(augment.augment(codes, choice).tolist()) for choice in range(4)}) == 4


def test_negating_codes_is_coding_the_negated_waveform() -> None:
    assert torch.equal(augment.negate(ALL_CODES), mulaw.encode(-mulaw.decode(ALL_CODES)))


def test_reversal_runs_along_time_only() -> None:
    codes = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert augment.reverse(codes).tolist() == [[3, 2, 1], [6, 5, 4]]


def test_the_input_is_not_changed() -> None:
    codes = ALL_CODES.clone()
    augment.augment(codes, 3)
    assert torch.equal(codes, ALL_CODES)


@pytest.mark.parametrize("choice", [-1, 4])
def test_an_unknown_choice_is_refused(choice: int) -> None:
    with pytest.raises(ValueError, match="0 to 3"):
        augment.augment(ALL_CODES, choice)
