from __future__ import annotations

import pytest

from moksori.generation.engine import cpu

ZEN4 = frozenset({"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16"})
SKYLAKE = ZEN4 - {"avx512vnni", "avx512bf16"}
LAPTOP = frozenset({"avx2", "fma"})
ARM = frozenset({"neon"})


@pytest.fixture(autouse=True)
def no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cpu.TIER_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("found", "name"), [(ZEN4, "avx512"), (SKYLAKE, "avx512"), (LAPTOP, "avx2"), (ARM, "portable"), (set(), "portable")]
)
def test_the_widest_vectors_are_taken(found: frozenset[str], name: str) -> None:
    assert cpu.tier(frozenset(found)).name == name


@pytest.mark.parametrize(
    ("found", "precision", "name"),
    [
        (ZEN4, "float32", "float32"),
        (ZEN4, "bfloat16", "bfloat16-dot"),
        (ZEN4, "int8", "int8-dot"),
        (SKYLAKE, "bfloat16", "bfloat16"),
        (SKYLAKE, "int8", "int8"),
        (LAPTOP, "int8", "int8"),
    ],
)
def test_an_instruction_is_used_where_there_is_one(found: frozenset[str], precision: str, name: str) -> None:
    assert cpu.arithmetic(precision, cpu.tier(found), found) == name


def test_narrow_vectors_leave_the_wide_instructions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cpu.TIER_VARIABLE, "avx2")
    assert cpu.arithmetic("int8", cpu.tier(ZEN4), ZEN4) == "int8"


def test_bfloat16_is_usual_only_where_it_is_multiplied() -> None:
    assert cpu.usual_precision(cpu.tier(ZEN4), ZEN4) == "bfloat16"
    assert cpu.usual_precision(cpu.tier(SKYLAKE), SKYLAKE) == "float32"


def test_a_tier_that_this_processor_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("avx512", "abacus"):
        monkeypatch.setenv(cpu.TIER_VARIABLE, name)
        with pytest.raises(ValueError, match=f"{name}: this processor runs avx2, portable"):
            cpu.tier(LAPTOP)
    monkeypatch.delenv(cpu.TIER_VARIABLE)
    with pytest.raises(ValueError, match="avx512: this processor runs avx2, portable"):
        cpu.tier(LAPTOP, "avx512")


def test_a_narrower_tier_is_taken_where_it_is_named() -> None:
    assert cpu.tier(ZEN4, "portable").name == "portable"


def test_an_unknown_precision_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known precisions are float32, bfloat16, int8"):
        cpu.arithmetic("float8", cpu.TIERS[0], ZEN4)


def test_every_tier_can_be_asked_for_by_a_processor_that_has_more() -> None:
    for tier in cpu.TIERS:
        assert tier.needs <= ZEN4 and tier.lanes in (4, 8, 16)
