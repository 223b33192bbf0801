"""From letters to a log-mel spectrogram, with attention that only moves forward; as Tacotron, small.

    letters --embedding, convolutions, GRU both ways--> one vector a letter
    frames so far --prenet--> GRU --> where to look: a mixture of Gaussians over the letters, whose means go on
                       |          --> a look at the letters there --> GRU --> the next frames; whether it is over
                       '--------------------------------------------------------'

A translator's attention may look anywhere, and has to learn that speech reads its letters from left to right. Here it
is built in: each mean moves by a step that is not negative, softplus(...), so nothing is read twice.

Source: Tacotron, Wang et al. 2017, whose decoder says several frames a step. Loss before and after a convolutional
postnet, and the stop token: Tacotron 2, Shen et al. 2018. Attention: Graves 2013, section 5.1, in the form GMMv2b of
Battenberg et al. 2020. Several speakers by a vector each: Deep Voice 2, Gibiansky et al. 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori_studies.jamo import SYMBOLS


@dataclass(frozen=True)
class TacotronConfig:
    """Sizes."""

    n_mels: int = 80
    n_speakers: int = 1
    frames_a_step: int = 4  # 50 ms with a hop of 12.5 ms
    letter_channels: int = 96
    speaker_channels: int = 16
    encoder_states: int = 64  # each way
    prenet: int = 64
    states: int = 160
    n_gaussians: int = 4
    postnet: int = 96
    dropout: float = 0.5  # in the prenet, also when it speaks: the frames before must not say everything


class Encoder(nn.Module):
    """Letters `[B, L]`, 0 where there is none -> a vector each `[B, L, H]`."""

    def __init__(self, config: TacotronConfig) -> None:
        """Build from sizes."""
        super().__init__()
        width = config.letter_channels
        self.letters = nn.Embedding(len(SYMBOLS), width, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.gru = nn.GRU(width, config.encoder_states, batch_first=True, bidirectional=True)
        self.speakers = nn.Embedding(config.n_speakers, config.speaker_channels)

    def forward(self, letters: Tensor, speakers: Tensor) -> Tensor:
        """Read the letters; the speaker's vector stands beside each."""
        lengths, is_there = (letters > 0).sum(1), (letters > 0)[:, None]
        x = self.letters(letters).transpose(1, 2)  # [B, C, L]
        for convolution in self.convolutions:
            x = (x + torch.relu(convolution(x))) * is_there
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        vectors = self.speakers(speakers)[:, None].expand(-1, states.shape[1], -1)
        return torch.cat([states, vectors], dim=2)


class ForwardAttention(nn.Module):
    """A mixture of K Gaussians over the letters, whose means only grow."""

    def __init__(self, n_states: int, n_gaussians: int) -> None:
        """At first a step goes on by half a letter, and sees four to either side."""
        super().__init__()
        self.hidden = nn.Linear(n_states, n_states)
        self.parameters_of = nn.Linear(n_states, 3 * n_gaussians)
        with torch.no_grad():
            self.parameters_of.weight.mul_(0.1)
            start = torch.tensor([0.0, _softplus_inverse(0.5), _softplus_inverse(3.0)])
            self.parameters_of.bias.copy_(start.repeat_interleave(n_gaussians))

    def forward(self, state: Tensor, means: Tensor, places: Tensor, is_there: Tensor) -> tuple[Tensor, Tensor]:
        """Look on.

        Args:
            state: of the decoder, `[B, H]`.
            means: where it looked, in letters, `[B, K]`.
            places: 0, 1, ... `[L]`.
            is_there: whether there is a letter `[B, L]`.

        Returns:
            How much it looks at each letter `[B, L]`, at most about 1 in all, less where it looks beyond the last; and
            the new means.
        """
        share, step, width = self.parameters_of(torch.tanh(self.hidden(state))).chunk(3, dim=1)  # [B, K] each
        means = means + functional.softplus(step)
        width = functional.softplus(width) + 0.05
        off = (places - means[:, :, None]) / width[:, :, None]  # [B, K, L]
        gaussians = torch.exp(-0.5 * off.square()) / (width[:, :, None] * (2 * torch.pi) ** 0.5)
        weights = (torch.softmax(share, dim=1)[:, :, None] * gaussians).sum(1)
        return weights * is_there, means


@dataclass(frozen=True)
class Spoken:
    """What the net says of a batch: F frames, S steps."""

    rough: Tensor  # [B, F, mels], before the postnet
    mels: Tensor  # [B, F, mels]
    stop: Tensor  # [B, S], scores that it is over after this step
    alignment: Tensor  # [B, S, L], how much each step looked at each letter


class Tacotron(nn.Module):
    """Letters and a speaker -> a log-mel spectrogram, in units of around 1."""

    def __init__(self, config: TacotronConfig) -> None:
        """Build from sizes."""
        super().__init__()
        self.config = config
        read = 2 * config.encoder_states + config.speaker_channels
        self.encoder = Encoder(config)
        self.prenet = nn.ModuleList([nn.Linear(config.n_mels, config.prenet), nn.Linear(config.prenet, config.prenet)])
        self.looking = nn.GRUCell(config.prenet + read, config.states)
        self.attention = ForwardAttention(config.states, config.n_gaussians)
        self.saying = nn.GRUCell(config.states + read, config.states)
        self.frames = nn.Linear(config.states + read, config.frames_a_step * config.n_mels)
        self.stop = nn.Linear(config.states + read, 1)
        widths = [config.n_mels, config.postnet, config.postnet, config.n_mels]
        self.postnet = nn.ModuleList(nn.Conv1d(widths[i], widths[i + 1], 5, padding=2) for i in range(3))

    def forward(self, letters: Tensor, speakers: Tensor, mels: Tensor, generator: torch.Generator) -> Spoken:
        """Say what is known already (teacher forcing): each step hears the true frame before it.

        Args:
            letters: `[B, L]`, see `jamo.numbers`.
            speakers: `[B]`.
            mels: `[B, F, mels]`, F a multiple of `frames_a_step`.
            generator: of the dropout.
        """
        r = self.config.frames_a_step
        before = torch.cat([torch.zeros_like(mels[:, :1]), mels[:, r - 1 : -1 : r]], dim=1)  # [B, S, mels]
        return self._say(letters, speakers, self._prenet(before, generator).unbind(1), generator)

    @torch.no_grad()
    def speak(
        self, letters: Tensor, speakers: Tensor, generator: torch.Generator, max_steps: int = 400
    ) -> list[Spoken]:
        """Say what nobody has said yet, until the stop token is likelier than not, or so many steps.

        Returns:
            For each text what was said of it; `stop` tells whether it stopped by itself.
        """
        said = self._say(letters, speakers, None, generator, max_steps)
        rows = []
        for row in range(len(letters)):
            over = (said.stop[row] > 0).nonzero().flatten()
            n = int(over[0]) + 1 if len(over) else said.stop.shape[1]
            n_frames = n * self.config.frames_a_step
            rough = said.rough[row : row + 1, :n_frames]
            whole = rough + self._postnet(rough)
            length = int((letters[row] > 0).sum())
            rows.append(Spoken(rough[0], whole[0], said.stop[row, :n], said.alignment[row, :n, :length]))
        return rows

    def _say(
        self,
        letters: Tensor,
        speakers: Tensor,
        targets: tuple[Tensor, ...] | None,
        generator: torch.Generator,
        max_steps: int = 0,
    ) -> Spoken:
        read, is_there = self.encoder(letters, speakers), (letters > 0).float()
        n, places = len(letters), torch.arange(letters.shape[1], dtype=read.dtype)
        looking = saying = read.new_zeros(n, self.config.states)
        looked, means = read.new_zeros(n, read.shape[2]), read.new_zeros(n, self.config.n_gaussians)
        frame, is_over = read.new_zeros(n, self.config.n_mels), torch.zeros(n, dtype=torch.bool)
        frames, stops, alignment = [], [], []
        for step in range(len(targets) if targets is not None else max_steps):
            previous = targets[step] if targets is not None else self._prenet(frame, generator)
            looking = self.looking(torch.cat([previous, looked], dim=1), looking)
            weights, means = self.attention(looking, means, places, is_there)
            looked = (weights[:, None] @ read)[:, 0]
            saying = self.saying(torch.cat([looking, looked], dim=1), saying)
            known = torch.cat([saying, looked], dim=1)
            frames.append(self.frames(known))
            stops.append(self.stop(known)[:, 0])
            alignment.append(weights)
            frame = frames[-1][:, -self.config.n_mels :]
            is_over |= stops[-1].detach() > 0
            if targets is None and bool(is_over.all()):
                break
        rough = torch.stack(frames, dim=1).reshape(n, -1, self.config.n_mels)  # [B, S, r * mels] -> [B, S * r, mels]
        return Spoken(rough, rough + self._postnet(rough), torch.stack(stops, 1), torch.stack(alignment, 1))

    def _prenet(self, frame: Tensor, generator: torch.Generator) -> Tensor:
        for layer in self.prenet:
            frame = torch.relu(layer(frame))
            kept = torch.rand(frame.shape, generator=generator) >= self.config.dropout
            frame = frame * kept / (1 - self.config.dropout)
        return frame

    def _postnet(self, rough: Tensor) -> Tensor:
        x = rough.transpose(1, 2)
        for layer in self.postnet[:-1]:
            x = torch.tanh(layer(x))
        corrected: Tensor = self.postnet[-1](x)
        return corrected.transpose(1, 2)


def loss(said: Spoken, mels: Tensor, n_frames: Tensor, frames_a_step: int) -> tuple[Tensor, Tensor]:
    """How far what is said is from what should be.

    Args:
        said: F frames.
        mels: the true ones `[B, F, mels]`.
        n_frames: how many of them are true, `[B]`; the rest is padding, of which nothing is asked.
        frames_a_step: of the net.

    Returns:
        Mean absolute error of the frames before and after the postnet together; cross-entropy of the stop token.
    """
    is_true = torch.arange(mels.shape[1]) < n_frames[:, None]
    error = ((said.rough - mels).abs() + (said.mels - mels).abs()).mean(2)
    last = (n_frames - 1) // frames_a_step  # the step that says the last frame
    steps = torch.arange(said.stop.shape[1])
    is_last, is_asked = (steps == last[:, None]).float(), steps <= last[:, None]
    # One step of some fifty says that it is over; it counts as much as eight others.
    stop = functional.binary_cross_entropy_with_logits(
        said.stop, is_last, reduction="none", pos_weight=torch.tensor(8.0)
    )
    return error[is_true].mean(), stop[is_asked].mean()


def _softplus_inverse(value: float) -> float:
    return float(torch.tensor(value).expm1().log())
