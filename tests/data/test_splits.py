from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moksori.data.splits import evenly, split_singer

SOUNDS = [f"sound {i}" for i in range(400)]


def split(sounds: list[str], kept: dict[str, str] | None = None, seed: int = 0) -> dict[str, str]:
    return split_singer(sounds, kept or {}, seed=seed, validation_share=0.1, test_share=0.1)


@given(st.integers(1, 60), st.integers(0, 50))
def test_every_split_has_a_recording_when_there_are_three(n: int, seed: int) -> None:
    found = set(split(SOUNDS[:n], seed=seed).values())
    assert found == {1: {"train"}, 2: {"train", "test"}}.get(n, {"train", "validation", "test"})


def test_shares_are_about_kept() -> None:
    counts = Counter(split(SOUNDS).values())
    assert abs(counts["test"] - 40) < 20  # 3 standard deviations of a binomial: 18
    assert abs(counts["validation"] - 40) < 20


def test_order_does_not_matter() -> None:
    assert split(SOUNDS[:9]) == split(SOUNDS[:9][::-1])


@given(st.integers(3, 40), st.integers(1, 40), st.integers(0, 20))
def test_added_recordings_move_no_earlier_one(n: int, n_added: int, seed: int) -> None:
    before = split(SOUNDS[:n], seed=seed)
    after = split(SOUNDS[: n + n_added], kept=before, seed=seed)
    assert {sound: after[sound] for sound in before} == before


def test_even_without_memory_few_recordings_move() -> None:
    before, after = split(SOUNDS[:100]), split(SOUNDS)
    assert all(before[sound] == after[sound] for sound in before)


def test_a_recording_trained_on_is_never_held_out_later() -> None:
    after = split(SOUNDS[:5], kept={SOUNDS[0]: "train"})
    assert after[SOUNDS[0]] == "train"
    assert set(after.values()) == {"train", "validation", "test"}


def test_what_was_all_trained_on_stays_so() -> None:
    assert set(split(SOUNDS[:5], kept=dict.fromkeys(SOUNDS, "train")).values()) == {"train"}


@pytest.mark.parametrize("only", ["test", "validation"])
def test_training_is_never_empty(only: str) -> None:
    assert "train" in split(SOUNDS[:3], kept=dict.fromkeys(SOUNDS, only)).values()
    assert split(SOUNDS[:1], kept={SOUNDS[0]: only}) == {SOUNDS[0]: "train"}


def test_another_seed_is_another_split() -> None:
    assert split(SOUNDS, seed=1) != split(SOUNDS, seed=2)


@given(st.integers(0, 50), st.integers(1, 60))
def test_evenly_takes_different_items_in_order_from_the_first_on(n: int, count: int) -> None:
    chosen = evenly(range(n), count)
    assert len(chosen) == min(n, count) and chosen == sorted(set(chosen))
    assert not n or chosen[0] == 0


def test_evenly_leaves_out_as_many_between_any_two() -> None:
    assert evenly(range(12), 4) == [0, 3, 6, 9]
