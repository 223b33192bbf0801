"""Korean text as jamo, the letters that a syllable block is made of: what a speech net reads.

A block is an initial, a medial and maybe a final. Unicode lays the 11,172 blocks out so that arithmetic takes them
apart:

    code point = 0xAC00 + (initial * 21 + medial) * 28 + final        final 0: there is none

A consonant at the end of a block is another letter than the same one at the beginning, since it sounds otherwise.

Source: The Unicode Standard, section 3.12, conjoining jamo behaviour.
"""

from __future__ import annotations

_FIRST, _N_MEDIALS, _N_FINALS, _N_BLOCKS = 0xAC00, 21, 28, 11_172
_INITIAL, _MEDIAL, _FINAL = 0x1100, 0x1161, 0x11A7  # the last is the place before the first final
_N_INITIALS = _N_BLOCKS // (_N_MEDIALS * _N_FINALS)

PAD, END = "_", "$"
MARKS = " .,?!"
SYMBOLS = (
    PAD
    + END
    + MARKS
    + "".join(chr(_INITIAL + i) for i in range(_N_INITIALS))
    + "".join(chr(_MEDIAL + i) for i in range(_N_MEDIALS))
    + "".join(chr(_FINAL + i) for i in range(1, _N_FINALS))
)
"""All letters a net can be given, by number; padding is number 0."""

_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def is_readable(text: str) -> bool:
    """Whether a text has Korean blocks, and nothing else but spaces and the usual marks."""
    blocks = [_is_block(letter) for letter in text]
    return any(blocks) and all(block or letter in MARKS for block, letter in zip(blocks, text, strict=True))


def letters(text: str) -> str:
    """Take the blocks apart; marks stay.

    >>> [f"{ord(letter):x}" for letter in letters("한글!")]
    ['1112', '1161', '11ab', '1100', '1173', '11af', '21']
    """
    return "".join(_apart(letter) if _is_block(letter) else letter for letter in text)


def numbers(text: str) -> list[int]:
    """A text as numbers of `SYMBOLS`, with `END` behind it.

    Raises:
        ValueError: it has a letter that is none of them.
    """
    try:
        return [_NUMBER[letter] for letter in letters(text) + END]
    except KeyError as error:
        raise ValueError(f"{text!r} has {error.args[0]!r}; expected Korean blocks and {MARKS!r}") from error


def _is_block(letter: str) -> bool:
    return 0 <= ord(letter) - _FIRST < _N_BLOCKS


def _apart(block: str) -> str:
    rest, final = divmod(ord(block) - _FIRST, _N_FINALS)
    initial, medial = divmod(rest, _N_MEDIALS)
    return chr(_INITIAL + initial) + chr(_MEDIAL + medial) + (chr(_FINAL + final) if final else "")
