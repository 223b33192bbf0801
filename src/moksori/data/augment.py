"""Fourfold augmentation of codes: time reversal and polarity, alone and together.

Both keep the singer. A reversed voice sings nonsense syllables with the same timbre; a negated waveform sounds the same
yet changes every code. The augmented segment is the input *and* the target: it is more data, not noise.

Source: Nachmani and Wolf 2019, section 3 (data augmentation).
"""

from __future__ import annotations

import torch

from moksori.audio import mulaw

N_CHOICES = 4  # 0 as it is, 1 reversed, 2 negated, 3 both


def reverse(codes: torch.Tensor) -> torch.Tensor:
    """Play the codes backwards.

    Args:
        codes: integers 0..255, [..., T].

    Returns:
        A new tensor of the same shape; reversing twice gives back the input.

    >>> reverse(torch.tensor([1, 2, 3])).tolist()
    [3, 2, 1]
    """
    return codes.flip(-1)


def negate(codes: torch.Tensor) -> torch.Tensor:
    """Multiply the waveform by -1, without leaving the codes.

    Args:
        codes: integers 0..255, any shape.

    Returns:
        `255 - codes`; negating twice gives back the input. It equals coding the negated waveform, except at exact zero,
        a tie between codes 127 and 128 that `mulaw.encode` settles as 128.

    >>> negate(torch.tensor([0, 127, 128])).tolist()
    [255, 128, 127]
    """
    return mulaw.N_CODES - 1 - codes


def augment(codes: torch.Tensor, choice: int) -> torch.Tensor:
    """Apply one of the four augmentations; each undoes itself.

    Args:
        codes: integers 0..255, [T]; or with conditioning rows, float [R, T], the codes first, see `segments`.
        choice: 0 as it is, 1 reversed, 2 negated, 3 both.

    Returns:
        Codes of the same shape; conditioning rows are reversed alike, and not negated. The input is not changed.

    Raises:
        ValueError: `choice` is not in 0..3.

    >>> augment(torch.tensor([0, 10]), 3).tolist()
    [245, 255]
    """
    if not 0 <= choice < N_CHOICES:
        raise ValueError(f"augmentation {choice} does not exist; choices are 0 to {N_CHOICES - 1}")
    if choice & 1:
        codes = reverse(codes)
    if choice & 2:
        codes = negate(codes) if codes.dim() < 2 else torch.cat([negate(codes[:1]), codes[1:]])
    return codes
