"""Adversarial training: phase 1 with a discriminator (critic) that judges conversions and reconstructions.

Reconstruction alone never asks for a conversion; back-translation asks only what shows through it. The critic
says outright whether a conversion sounds like a recording of its target, and the encoder listens to it again: the words
must be those of the source.

    clip of A --E--> z --D(v_A)--> rebuilt          distance from the clip; and the critic should take it for A
                     '--D(v_B)--> converted to B    the critic should take it for B; E should hear z in it

A single singer A, beside those of the voice that a run began from, of whom there are no recordings, is sung by one of
them first, and what is judged is the conversion of that into A.

Most conversions are sung where B sings: nobody should learn B's voice from notes that B never sang.

Sources: a judge's loss on conversions as in StarGAN-VC, Kameoka et al. 2018, section 3; for the song's words the cycle
of the latent, as the latent reconstruction of Huang et al. 2018 (MUNIT), equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from moksori.audio import features
from moksori.data.batches import Batch, Batches
from moksori.models.critic import Candidates, Critic
from moksori.models.synthesiser import Controls
from moksori.training import losses
from moksori.training.phases.base import DrawnPhase, Latent, Update

_LOUDNESS_NEPERS = 0.3  # each clip is a little louder or softer for the critic, which shall not judge by loudness
_FAKE_SHARE = 0.5  # of conversions, and as much of what is rebuilt, in the critic's own loss
_REBUILT_SHARE = 0.5  # of what is rebuilt, in what the critic says to the decoder
_AT_HOME_PROBABILITY, _OCTAVES_PROBABILITY = 0.5, 0.3  # of moving a clip to B's middle, or by octaves towards it
_HIGHEST_HZ = 1500.0  # a clip that would go beyond stays where it is


class Criticised(Latent, Protocol):
    """What this phase asks of a model beyond that: what it says is to be sung, as controls."""

    critic: Critic
    has_detail: bool  # envelopes of the clips are corrected, instead of all being made of the latent

    @property
    def has_teacher(self) -> bool:
        """Whether a recogniser of speech tells if the words are kept."""

    def controls(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Controls:
        """What to sing, at the pitch and level of the clips."""

    def sung(self, controls: Controls) -> Tensor:
        """Log-mel `[B, M, F]` of what the controls sound like."""

    def with_sound(self, inputs: Tensor, controls: Controls, singer_vectors: Tensor) -> Tensor:
        """Encoder inputs with the sound of controls, as sung by singers of these vectors."""

    def distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far what the controls sound like is from the clips, in nepers."""

    def envelope_distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far the controls are from what was measured of the clips; in nepers."""

    def detail_distance(self, controls: Controls, clips: Tensor, inputs: Tensor, singer_vectors: Tensor) -> Tensor:
        """How far a conversion is from the clip in the voice's colour; in nepers."""

    def content_distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far a conversion is from the clips it is of, as a teacher of words hears them: 0 for alike."""


class CriticisedReconstruction(DrawnPhase):
    """Classifier step, critic step, autoencoder step, on every batch."""

    name = "reconstruction"

    def __init__(
        self,
        medium: Criticised,
        batches: Batches,
        medians_hz: Sequence[float],
        shares: Sequence[float] | None = None,
    ) -> None:
        """A critic's phase.

        Args:
            medium: the model, in its clips.
            batches: of recordings.
            medians_hz: the middle of each singer's range, in the order of the singers.
            shares: how often each singer with recordings, who come first, is drawn; None: all have some, as many.
        """
        super().__init__(batches)
        self._medium = medium
        self._middles = torch.tensor(medians_hz).log2()  # [N] octaves
        n_singers = len(medians_hz)
        shares = [1.0] * n_singers if shares is None else shares
        self._has_others = len(shares) > 1  # of whom there are recordings, for the critic to compare with
        rest = [0.0 if self._has_others else 1.0] * (n_singers - len(shares))
        self._shares = torch.tensor([*shares, *rest])  # [N] of being converted into

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """See `base.Phase.updates`."""
        medium, singer = self._medium, batch.singer
        inputs = medium.perturbed(batch.clips, generator)
        z = medium.encode(inputs)
        known = losses.classifier(medium.classifier(z.detach(), generator), singer)
        yield Update("classifier", {"classifier": known})
        rebuilt = medium.controls(inputs, z, medium.singers(singer))
        source, z_source, other = batch.clips, z, self._others(singer, generator)
        moved = self._moved(inputs, singer, other, generator)
        if not self._has_others:  # the other way round: sung by others first, then converted into the singer
            sung_by_base = medium.generate(moved, z, medium.singers(other), step)
            source = features.with_f0(sung_by_base, features.f0_hz(batch.clips))
            moved, other = medium.perturbed(source, generator), singer
            z_source = medium.encode(moved)
        vectors = medium.singers(other)
        converted = medium.controls(moved, z_source, vectors)
        sung, sung_by_other = medium.sung(rebuilt), medium.sung(converted)
        among = medium.critic.candidates(torch.cat([singer, other]), generator)
        critic = self._discriminator_loss(batch, sung, sung_by_other, other, among, generator)
        yield Update("critic", {"critic": critic})
        inputs_again = medium.perturbed(medium.with_sound(moved, converted, vectors), generator)
        named = {
            "reconstruction": medium.distance(rebuilt, batch.clips),
            "confusion": losses.confusion(medium.classifier(z, generator), singer),
            "adversarial": self._adversarial_loss(sung, singer, sung_by_other, other, among),
            "cycle": losses.latent_distance(medium.encode(inputs_again), z_source),
        }
        if medium.has_detail:
            named["envelope"] = medium.envelope_distance(rebuilt, batch.clips)
            named["detail"] = medium.detail_distance(converted, source, moved, vectors)
        if medium.has_teacher:
            named["content"] = medium.content_distance(converted, source)
        yield Update("autoencoder", named)

    def _others(self, singer: Tensor, generator: torch.Generator) -> Tensor:
        """Another singer for each, as often as the batches have them: whoever has much to compare with is sung most.

        A single singer is turned into those of the voice that the run began from, of whom there are no recordings.
        """
        weights = self._shares.to(singer.device).repeat(len(singer), 1).scatter(1, singer[:, None], 0.0)
        return torch.multinomial(weights, 1, generator=generator)[:, 0]

    def _moved(self, clips: Tensor, singer: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
        """Clips at a pitch nearer to where the others sing, by chance exactly there, by octaves, or as they are."""
        middles = self._middles.to(clips.device)
        octaves = middles[other] - middles[singer]
        chance = torch.rand(octaves.shape, generator=generator, device=clips.device)
        by_octaves = torch.where(chance < _AT_HOME_PROBABILITY + _OCTAVES_PROBABILITY, octaves.round(), 0.0)
        octaves = torch.where(chance < _AT_HOME_PROBABILITY, octaves, by_octaves)
        f0_hz = features.f0_hz(clips)
        moved_hz = f0_hz * 2.0 ** octaves[:, None]
        is_beyond = moved_hz.amax(dim=1, keepdim=True) > _HIGHEST_HZ  # of a clip: a note is moved as a whole, or not
        return features.with_f0(clips, torch.where(is_beyond, f0_hz, moved_hz))

    def _discriminator_loss(
        self,
        batch: Batch,
        sung: Tensor,
        sung_by_other: Tensor,
        other: Tensor,
        among: Candidates | None,
        generator: torch.Generator,
    ) -> Tensor:
        """The discriminator loss: recordings are real, conversions and what is rebuilt are fake."""
        critic = self._medium.critic

        def shifted(mel: Tensor) -> Tensor:
            loudness = torch.randn(len(mel), 1, 1, generator=generator, device=mel.device)
            return mel.detach() + _LOUDNESS_NEPERS * loudness

        fake = critic.loss_fake(shifted(sung_by_other), other, among)
        fake = fake + critic.loss_fake(shifted(sung), batch.singer, among)
        recorded = shifted(features.mels(batch.clips)[features.ENCODER_WINDOW])
        return critic.loss_real(recorded, batch.singer, among) + _FAKE_SHARE * fake

    def _adversarial_loss(
        self, sung: Tensor, singer: Tensor, sung_by_other: Tensor, other: Tensor, among: Candidates | None
    ) -> Tensor:
        """The adversarial loss of the decoder: how little the critic takes what is made for real."""
        critic = self._medium.critic
        return critic.loss_real(sung_by_other, other, among) + _REBUILT_SHARE * critic.loss_real(sung, singer, among)
