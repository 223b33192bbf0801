"""Reading syllables, in the ways that singers of syllable banks write them."""

from __future__ import annotations

import pytest

from moksori.evaluation.measures import syllables


@pytest.mark.parametrize(
    ("text", "vowels"),
    [
        ("かかきかくけか", "aaiauea"),
        ("_しょしゅんしゃんしゅ", "ounanu"),
        ("うぃうぉふぁつぃヴぉ", "ioaio"),
        ("ぎぇぎょぐぁくぃ", "eoai"),
        ("カキクケコ", "aiueo"),
        ("ｶﾞｷﾞ", "ai"),
        ("_あ・あ・い", "aai"),
        ("ラーっか", "aaa"),
        ("んんあ", "nna"),
        ("びょびょんびょ_byo-byo-n-byo", "oono"),
        ("mu_mu_me_N_mo_n_m", "uuenon"),
        ("kya_kyi_cha_tsu", "aiau"),
        ("shi", "i"),
        ("hya_hy", "a"),
        ("kanata", "aaa"),
    ],
)
def test_vowels_are_read(text: str, vowels: str) -> None:
    assert syllables.vowels(text) == tuple(vowels)


@pytest.mark.parametrize("text", ["", "_", "息3", "あ息い", "take 3", "nhh", "x_y_a", "kumi_Core_0001", "っ"])
def test_what_is_no_syllables_is_not_read(text: str) -> None:
    assert syllables.vowels(text) is None
