"""What is sung, read from strings of syllables: kana or romaji, as singers of syllable banks name their recordings.

かかきかくけか         a a i a u e a
kya_kyi_n_kyu        a i n u
"""

from __future__ import annotations

import re
import unicodedata

VOWELS = ("a", "i", "u", "e", "o", "n")  # n: the syllabic nasal, which is held like a vowel

_KANA_ROWS = {
    "a": "あかがさざただなはばぱまやらわぁゃゎ",
    "i": "いきぎしじちぢにひびぴみりゐぃ",
    "u": "うくぐすずつづぬふぶぷむゆるゔぅゅ",
    "e": "えけげせぜてでねへべぺめれゑぇ",
    "o": "おこごそぞとどのほぼぽもよろをぉょ",
    "n": "ん",
}
_VOWEL_OF = {letter: vowel for vowel, letters in _KANA_ROWS.items() for letter in letters}
_SMALL = frozenset("ぁぃぅぇぉゃゅょゎ")  # they change the vowel of the syllable before
_SILENT = frozenset("っ・_- 　、")
_LONG = "ー"
_ROMAJI = re.compile(r"[bcdfghjklmnpqrstvwxyz']*[aiueo]|n(?![a-z])|[bcdfghjklmnpqrstvwxyz']+$")


def vowels(text: str) -> tuple[str, ...] | None:
    """Read the vowels of a string of syllables.

    Args:
        text: kana (hiragana or katakana) or romaji in parts between "_", "-", "・" or spaces. Where kana is followed by
            its romaji, the kana counts. A consonant at the very end is a syllable cut off, and left out.

    Returns:
        One of `VOWELS` for each syllable; None if the text is not made of syllables, or has none.

    >>> vowels("_きゃんぎぇ")
    ('a', 'n', 'e')
    >>> vowels("mu_mu_me_N_m")
    ('u', 'u', 'e', 'n')
    >>> vowels("take 3") is None
    True
    """
    plain = _hiragana(unicodedata.normalize("NFKC", text)).strip()
    kana = [letter for letter in plain if letter in _VOWEL_OF or letter == _LONG]
    return _of_kana(plain) if kana else _of_romaji(plain.lower())


def _hiragana(text: str) -> str:
    """Katakana as hiragana; what has none stays."""
    return "".join(chr(ord(letter) - 0x60) if "ァ" <= letter <= "ヴ" else letter for letter in text)


def _of_kana(text: str) -> tuple[str, ...] | None:
    found: list[str] = []
    for letter in text:
        if letter in _SMALL and found and found[-1] != "n":
            found[-1] = _VOWEL_OF[letter]
        elif letter in _VOWEL_OF:
            found.append(_VOWEL_OF[letter])
        elif letter == _LONG:
            found += found[-1:]
        elif letter not in _SILENT and not letter.isascii():
            return None
    return tuple(found) or None


def _of_romaji(text: str) -> tuple[str, ...] | None:
    found: list[str] = []
    parts = [part for part in re.split(r"[_\-\s・]+", text) if part]
    for number, part in enumerate(parts):
        syllables = _ROMAJI.findall(part)
        if "".join(syllables) != part:
            return None
        for syllable in syllables:
            if syllable[-1] in VOWELS:
                found.append(syllable[-1])
            elif number < len(parts) - 1:
                return None  # a consonant alone, and not at the end
    return tuple(found) or None
