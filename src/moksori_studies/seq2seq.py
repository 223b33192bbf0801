"""From one sequence to another of a different length: an encoder, a decoder, and attention between them.

    source   A   B   C  <end>                         W  X  Y  Z  <end>    what the decoder should say
             |   |   |   |                            |  |  |  |   |
    encoder  o<->o<->o<->o  -- last state ----------> o->o->o->o-->o       decoder
             |   |   |   |                            |  |  |  |   |
             +---+---+---+-- all states, by attention-+--+--+--+---+
                                                  <start> W  X  Y  Z       what it has said so far

Without attention the last state alone must carry the whole sentence. With it, each step of the decoder looks back at
all states of the encoder and takes a weighted mean of them.

Source: Sutskever, Vinyals and Le 2014 (encoder and decoder, beam search); Luong, Pham and Manning 2015 (attention after
the recurrence, section 3.1, the score "general"), which lets a whole target sentence be trained in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from moksori_studies.subwords import END, PAD, START


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes of a translator."""

    n_source: int  # pieces of the source language, special ones counted
    n_target: int  # pieces of the target language
    width: int = 128  # of embeddings and states; even, because the encoder reads in two directions
    has_attention: bool = True
    dropout: float = 0.2  # share of values silenced while training

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width {self.width}: expected an even number")


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of a batch of sentences."""

    states: torch.Tensor  # [B, S, W], one for each source piece
    is_piece: torch.Tensor  # [B, S], False where a shorter sentence was filled up
    start: torch.Tensor  # [1, B, W], the state in which the decoder begins


class Encoder(nn.Module):
    """Source pieces [B, S] -> states, and the state in which the decoder begins."""

    def __init__(self, config: TranslatorConfig) -> None:
        """Build from its sizes."""
        super().__init__()
        width = config.width
        self.embedding = nn.Embedding(config.n_source, width, padding_idx=PAD)
        self.recurrence = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, source: torch.Tensor) -> Encoded:
        """Read both ways; filling is not read, so that a sentence's states do not depend on its batch."""
        is_piece = source != PAD
        packed = pack_padded_sequence(
            self.dropout(self.embedding(source)), is_piece.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, last = self.recurrence(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        last = torch.cat([last[0], last[1]], dim=-1)  # [2, B, W/2] -> [B, W]
        return Encoded(self.dropout(states), is_piece, torch.tanh(self.bridge(last))[None])


class Attention(nn.Module):
    """For each decoder state, a weighted mean of the encoder's states."""

    def __init__(self, width: int) -> None:
        """Build from the width of the states."""
        super().__init__()
        self.score = nn.Linear(width, width, bias=False)

    def forward(self, hidden: torch.Tensor, encoded: Encoded) -> torch.Tensor:
        """Decoder states [B, T, W] -> contexts [B, T, W]."""
        return torch.bmm(self.weights(hidden, encoded), encoded.states)

    def weights(self, hidden: torch.Tensor, encoded: Encoded) -> torch.Tensor:
        """How strongly each decoder step looks at each source piece: [B, T, S], each row sums to 1."""
        scores = self.score(hidden) @ encoded.states.transpose(1, 2)
        return torch.softmax(scores.masked_fill(~encoded.is_piece[:, None], float("-inf")), -1)


class Decoder(nn.Module):
    """Target pieces so far [B, T] -> scores of the piece that comes next [B, T, n_target]."""

    def __init__(self, config: TranslatorConfig) -> None:
        """Build from its sizes."""
        super().__init__()
        width = config.width
        self.embedding = nn.Embedding(config.n_target, width, padding_idx=PAD)
        self.recurrence = nn.GRU(width, width, batch_first=True)
        self.attention = Attention(width) if config.has_attention else None
        self.join = nn.Linear(2 * width if config.has_attention else width, width)
        self.bias = nn.Parameter(torch.zeros(config.n_target))
        self.dropout = nn.Dropout(config.dropout)
        # One table for reading and for saying pieces (Press and Wolf 2017); scores would start too large otherwise.
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def features(
        self, pieces: torch.Tensor, encoded: Encoded, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is known before each next piece [B, T, W], and the state after the last one [1, B, W]."""
        hidden, state = self.recurrence(self.dropout(self.embedding(pieces)), state)
        known = hidden if self.attention is None else torch.cat([hidden, self.attention(hidden, encoded)], dim=-1)
        return self.dropout(torch.tanh(self.join(known))), state

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores of every piece of the vocabulary: [..., W] -> [..., n_target]."""
        return features @ self.embedding.weight.T + self.bias


class Translator(nn.Module):
    """Encoder and decoder together."""

    def __init__(self, config: TranslatorConfig) -> None:
        """Build from its sizes; the first weights come from PyTorch's generator (see `training.chance`)."""
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def loss(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of a target piece, in nats, the end counted; with teacher forcing.

        Args:
            source: [B, S], filled up with `PAD`.
            target: [B, T], each from `START` to `END`, filled up with `PAD`.
        """
        encoded = self.encoder(source)
        features, _ = self.decoder.features(target[:, :-1], encoded, encoded.start)
        wanted = target[:, 1:]
        is_piece = wanted != PAD
        return cross_entropy(self.decoder.logits(features[is_piece]), wanted[is_piece])  # no score for filling

    @torch.no_grad()
    def greedy(self, source: torch.Tensor, max_pieces: int) -> list[list[int]]:
        """Say the likeliest piece, again and again, until `END` or `max_pieces`.

        Args:
            source: [B, S], filled up with `PAD`.
            max_pieces: of a translation.

        Returns:
            For each sentence its pieces, without start and end.
        """
        encoded = self.encoder(source)
        state = encoded.start
        piece = source.new_full((len(source), 1), START)
        is_done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        said: list[torch.Tensor] = []
        for _ in range(max_pieces):
            features, state = self.decoder.features(piece, encoded, state)
            piece = _never_special(self.decoder.logits(features[:, -1])).argmax(-1, keepdim=True)
            said.append(piece)
            is_done |= piece[:, 0] == END
            if is_done.all():
                break
        return [_until_end(row) for row in torch.cat(said, dim=1).tolist()] if said else [[] for _ in source]

    @torch.no_grad()
    def beam(self, source: torch.Tensor, max_pieces: int, beam_width: int) -> list[int]:
        """Follow the `beam_width` likeliest beginnings; of all sentences that ended, the likeliest.

        With a width of 1 this is `greedy`. A sentence can only become less likely as it grows, so the search is over
        when no beginning is as likely as the best sentence that has ended.

        Args:
            source: [S], one sentence.
            max_pieces: a beginning as long as this counts as a sentence.
            beam_width: how many beginnings.

        Returns:
            Its pieces, without start and end.
        """
        encoded = self.encoder(source[None])
        beginnings: list[list[int]] = [[]]
        scores = torch.zeros(1, device=source.device)  # log-probabilities
        state = encoded.start
        best_ended: tuple[float, list[int]] = (-math.inf, [])
        for _ in range(max_pieces):
            n = len(beginnings)
            each = Encoded(encoded.states.expand(n, -1, -1), encoded.is_piece.expand(n, -1), encoded.start)
            last = source.new_tensor([[pieces[-1] if pieces else START] for pieces in beginnings])
            features, state = self.decoder.features(last, each, state)
            chances = _never_special(self.decoder.logits(features[:, -1])).log_softmax(-1)
            n_pieces = chances.shape[-1]
            best, places = (scores[:, None] + chances).flatten().topk(min(beam_width, n * n_pieces))  # [n, V] -> [k]
            going_on = []
            for i, (score, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
                if place % n_pieces == END:
                    best_ended = max(best_ended, (score, beginnings[place // n_pieces]))
                elif score > best_ended[0]:  # the list goes from the likeliest down
                    going_on.append(i)
            if not going_on:
                break
            scores, places = best[going_on], places[going_on]
            beginnings = [[*beginnings[place // n_pieces], place % n_pieces] for place in places.tolist()]
            state = state[:, places // n_pieces]
        else:
            best_ended = max(best_ended, (float(scores[0]), beginnings[0]))
        return best_ended[1]


def _never_special(logits: torch.Tensor) -> torch.Tensor:
    """`PAD` and `START` are never said."""
    logits = logits.clone()
    logits[..., PAD] = float("-inf")
    logits[..., START] = float("-inf")
    return logits


def _until_end(pieces: Sequence[int]) -> list[int]:
    return list(pieces[: pieces.index(END)]) if END in pieces else list(pieces)
