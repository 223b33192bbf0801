"""How far does the source-filter decoder get in minutes? An experiment, and no recipe yet.

    python benchmarks/source_filter.py DATA OUT --minutes 20 [--critic 0.2] [--back-translation 0.5] [--confusion 0.02]
    moksori evaluate DATA --conversions OUT -o REPORT --texts TEXTS

Trains on the prepared folder DATA without computing a sample of sound: the expected spectrograms of the decoder are
compared with those of the recordings, in three windows. Each recording is heard at two other pitches, too. Then it
converts three held-out recordings of each singer into every singer and writes them into OUT, with a table for the
judges.

The encoder hears a log-mel whose formants and tone are changed by chance, so that they tell nothing. A critic, taught
to name real singers and to tell conversions from them, may judge conversions while training (`--critic`); the converted
spectrogram of a virtual singer may be the encoder's input, and the true one the goal (`--back-translation`).
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import files, level, pitch, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.spectral import SpectralConfig
from moksori.data import threads
from moksori.data.corpus import Corpus, Recording
from moksori.evaluation.trials import evenly
from moksori.models import source_filter
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.singers import SingerTable
from moksori.models.source_filter import Controls, SourceFilterConfig, SourceFilterDecoder
from moksori.training import mixup
from moksori.training.mixup import MixupConfig

CONFIG = SourceFilterConfig()
WINDOWS = {2048: 100, 1024: 100, 512: 60}  # samples: mel bands
HEARD = 1024  # the window whose log-mel the encoder hears
LATENT_CHANNELS, SINGER_CHANNELS, ENCODER_CHANNELS = 16, 64, 160
BATCH, FRAMES = 16, 128
SPECTRAL = {
    window: SpectralConfig(CONFIG.sample_rate, window, CONFIG.hop_samples, n_mels, 40.0)
    for window, n_mels in WINDOWS.items()
}
FILTERBANKS = {window: spectral.mel_filterbank(config) for window, config in SPECTRAL.items()}


@dataclass(frozen=True, eq=False)
class Analysed:
    """A recording as frames."""

    recording: Recording
    mels: dict[int, Tensor]  # window -> log-mel [M, F]
    f0_hz: Tensor  # [F]
    level_dbfs: Tensor  # [F]


def analyse(clip: Clip, recording: Recording, semitones: float, tracker: pitch.PitchTracker) -> Analysed:
    """Frames of a clip, sung at another pitch with the formants where they were."""
    ratio, track = 2.0 ** (semitones / 12.0), tracker.track(clip)
    moved = resample.resample(clip.samples, round(CONFIG.sample_rate * ratio), CONFIG.sample_rate)
    n_frames = -(-len(moved) // CONFIG.hop_samples)
    times = np.arange(n_frames) * CONFIG.hop_samples / CONFIG.sample_rate * ratio
    f0_hz = np.zeros(n_frames)
    if track.is_voiced.any():
        voiced = np.interp(times, track.times_seconds, track.is_voiced.astype(float)) > 0.5
        log_f0 = np.interp(times, track.times_seconds[track.is_voiced], np.log(track.voiced_hz))
        f0_hz = np.where(voiced, ratio * np.exp(log_f0), 0.0)
    mels = {}
    for window, config in SPECTRAL.items():
        logarithm = (spectral.magnitude(torch.from_numpy(moved), config) + 1e-6).log()
        if semitones:
            envelope = smooth(logarithm, f0_hz)
            place = (torch.arange(len(envelope)) * ratio).clamp(max=len(envelope) - 1)
            logarithm = logarithm + (envelope[place.round().long()] - envelope).clamp(-6.0, 6.0)
        mels[window] = (FILTERBANKS[window] @ logarithm.exp()).clamp(min=1e-5).log()
    levels = level.frame_level_dbfs(moved, CONFIG.hop_samples)
    return Analysed(recording, mels, torch.from_numpy(f0_hz).float(), torch.from_numpy(levels).float().clamp(min=-80.0))


def smooth(logarithm: Tensor, f0_hz: np.ndarray) -> Tensor:
    """Envelopes of log spectra `[bins, F]`: their cepstra below six tenths of the period."""
    cepstrum = torch.fft.irfft(logarithm, dim=0)
    n = len(cepstrum)
    quefrency = torch.minimum(torch.arange(n), n - torch.arange(n))[:, None]
    longest = torch.from_numpy((0.6 * CONFIG.sample_rate / np.maximum(f0_hz, 80.0)).clip(24, 120))
    return torch.fft.rfft(cepstrum * (quefrency < longest), dim=0).real


def analyse_all(corpus: Corpus, recordings: list[Recording], moves: int, seed: int) -> list[Analysed]:
    """Frames of recordings as they are, and at other pitches."""
    rng, tracker = np.random.default_rng(seed), pitch.PitchTracker()
    jobs = [(r, s) for r in recordings for s in (0.0, *(rng.uniform(1, 7, moves) * (-1) ** np.arange(moves)).tolist())]
    work = threads.map_in_order(
        lambda job: analyse(files.read(corpus.clip_path(job[0])), job[0], job[1], tracker), jobs, workers=0
    )
    return list(work)


class Encoder(nn.Module):
    """Log-mel `[B, M, F]` -> latent `[B, D, F / 2]`."""

    def __init__(self) -> None:
        super().__init__()
        width = ENCODER_CHANNELS
        self.first = nn.Conv1d(WINDOWS[HEARD], width, 5, padding=2)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, width),
                nn.SiLU(),
                nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation),
                nn.SiLU(),
                nn.Conv1d(width, width, 1),
            )
            for dilation in (1, 2, 4, 1, 2)
        )
        self.last = nn.Conv1d(width, LATENT_CHANNELS, 1)

    def forward(self, mel: Tensor) -> Tensor:
        hidden = self.first((mel + 5.0) / 2.5)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        latent: Tensor = self.last(functional.avg_pool1d(hidden, 2, ceil_mode=True))
        return latent


class Critic(nn.Module):
    """Log-mel `[B, M, F]` -> `[B, 2 N, F']`: real singer 0..N-1, or a conversion into one, N..2N-1."""

    def __init__(self, n_singers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out, stride in ((1, 32, 1), (32, 48, 2), (48, 64, 2)):
            layers += [nn.Conv2d(n_in, n_out, (5, 3), (2, stride), (2, 1)), nn.LeakyReLU(0.2)]
        self.spectrum = nn.Sequential(*layers)
        height = -(-WINDOWS[HEARD] // 8)
        self.time = nn.Sequential(
            nn.Conv1d(64 * height, 96, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv1d(96, 2 * n_singers, 1)
        )

    def forward(self, mel: Tensor) -> Tensor:
        scores: Tensor = self.time(self.spectrum((mel[:, None] + 5.0) / 2.5).flatten(1, 2))
        return scores

    def loss(self, mel: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of a label `[B]`, the same all the time."""
        scores = self(mel)
        return functional.cross_entropy(scores, label[:, None].expand(-1, scores.shape[2]))


def perturbed(mel: Tensor) -> Tensor:
    """Formants moved by up to an eighth, another tone, another loudness: they shall tell the encoder nothing."""
    n_clips, n_mels, n_frames = mel.shape
    stretch, shift = 1 + 0.24 * (torch.rand(n_clips, 1) - 0.5), 6 * (torch.rand(n_clips, 1) - 0.5)
    place = (torch.arange(n_mels) * stretch + shift).clamp(0, n_mels - 1.001)
    low = place.long()
    share = (place - low)[:, :, None]
    ends = [mel.gather(1, (low + step)[:, :, None].expand(-1, -1, n_frames)) for step in (0, 1)]
    tone = functional.interpolate(torch.randn(n_clips, 1, 6), n_mels, mode="linear", align_corners=True)
    return ends[0] * (1 - share) + ends[1] * share + 0.8 * tone.transpose(1, 2) + 0.5 * torch.randn(n_clips, 1, 1)


def expected_mel(controls: Controls, window: int, comb: Tensor) -> Tensor:
    """Log-mel `[B, M, F]` that the controls will have in a window."""
    magnitude = source_filter.expected_magnitude(controls, CONFIG, window, comb)
    return (FILTERBANKS[window] @ magnitude).clamp(min=1e-5).log()


def distance(controls: Controls, mels: dict[int, Tensor], combs: dict[int, Tensor]) -> Tensor:
    """Mean difference of log-mels over the windows, in nepers."""
    return torch.stack(
        [(expected_mel(controls, window, combs[window]) - mel).abs().mean() for window, mel in mels.items()]
    ).mean()


class Experiment:
    """All nets, and a step."""

    def __init__(self, corpus: Corpus, options: argparse.Namespace) -> None:
        n_singers = len(corpus.singers)
        self.options, self.n_singers = options, n_singers
        self.encoder = Encoder()
        self.singers = SingerTable(corpus.singers, SINGER_CHANNELS)
        self.decoder = SourceFilterDecoder(CONFIG, LATENT_CHANNELS, SINGER_CHANNELS)
        self.classifier = SingerClassifier(ClassifierConfig(), LATENT_CHANNELS, n_singers)
        self.critic = Critic(n_singers)
        self.weights = [*self.encoder.parameters(), *self.singers.parameters(), *self.decoder.parameters()]
        self.adam = torch.optim.AdamW(self.weights, betas=(0.9, 0.99), weight_decay=1e-4)
        self.classifier_adam = torch.optim.Adam(self.classifier.parameters(), 1e-3)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), 4e-4, betas=(0.5, 0.9))
        self.chance = np.random.default_rng(options.seed)
        self.n_steps = 0

    def step(self, pieces: list[Analysed], singer: Tensor, share_done: float) -> dict[str, float]:
        """Learn from a batch of pieces of `FRAMES` frames; after a tenth of the time critic and way back take turns."""
        mels = {window: torch.stack([piece.mels[window] for piece in pieces]) for window in WINDOWS}
        told = tuple(torch.stack([getattr(piece, name) for piece in pieces]) for name in ("f0_hz", "level_dbfs"))
        combs = {window: source_filter.harmonic_power(told[0], CONFIG, window) for window in WINDOWS}
        z = self.encoder(perturbed(mels[HEARD]))
        known = functional.cross_entropy(self.classifier(z.detach()), singer)
        self._move(self.classifier_adam, known)
        own = self.decoder(z, *told, self.singers(singer))
        loss = rebuilt = distance(own, mels, combs)
        hidden = functional.cross_entropy(self.classifier(z), singer)
        loss = 3 * loss - self.options.confusion * hidden.clamp(max=2 * math.log(self.n_singers))
        figures = {"rebuilt": rebuilt.item(), "singer known": known.item()}
        self.n_steps += 1
        if share_done > 0.1 and self.options.critic and self.n_steps % 2:
            loss = loss + self.options.critic * self._criticised(z, told, own, mels, combs, singer, figures)
        if share_done > 0.1 and self.options.back_translation and not self.n_steps % 2:
            back = self._translated_back(z.detach(), told, mels, combs, singer)
            figures["back-translated"] = back.item()
            loss = loss + 3 * self.options.back_translation * back
        rate = 1e-3 * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share_done)))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self._move(self.adam, loss)
        return figures

    def _criticised(
        self,
        z: Tensor,
        told: tuple[Tensor, ...],
        own: Controls,
        mels: dict[int, Tensor],
        combs: dict[int, Tensor],
        singer: Tensor,
        figures: dict[str, float],
    ) -> Tensor:
        other = (singer + 1 + torch.randint(self.n_singers - 1, singer.shape)) % self.n_singers
        converted = expected_mel(self.decoder(z, *told, self.singers(other)), HEARD, combs[HEARD])
        rebuilt = expected_mel(own, HEARD, combs[HEARD])
        seen = self.critic.loss(mels[HEARD], singer) + 0.5 * self.critic.loss(
            converted.detach(), other + self.n_singers
        )
        seen = seen + 0.5 * self.critic.loss(rebuilt.detach(), singer + self.n_singers)
        self._move(self.critic_adam, seen)
        fooled = self.critic.loss(converted, other) + 0.5 * self.critic.loss(rebuilt, singer)
        figures |= {"critic": seen.item(), "fooled": fooled.item()}
        return fooled

    def _translated_back(
        self,
        z: Tensor,
        told: tuple[Tensor, ...],
        mels: dict[int, Tensor],
        combs: dict[int, Tensor],
        singer: Tensor,
    ) -> Tensor:
        with torch.no_grad():
            other = torch.from_numpy(mixup.partners(singer.numpy(), self.n_singers, self.chance))
            share = torch.from_numpy(mixup.shares(MixupConfig(), len(singer), self.chance)).float()
            virtual = self.decoder(z, *told, self.singers.between(singer, other, share))
            heard = expected_mel(virtual, HEARD, combs[HEARD])
        home = self.decoder(self.encoder(perturbed(heard)), *told, self.singers(singer))
        return distance(home, mels, combs)

    def _move(self, adam: torch.optim.Optimizer, loss: Tensor) -> None:
        self.adam.zero_grad(), adam.zero_grad()
        loss.backward()
        if adam is self.adam:
            nn.utils.clip_grad_norm_(self.weights, 5.0)
        adam.step()

    @torch.inference_mode()
    def convert(self, source: Analysed, singer: int, seed: int) -> Clip:
        """The sound of a recording in another voice."""
        z = self.encoder(source.mels[HEARD][None])
        told = source.f0_hz[None], source.level_dbfs[None]
        controls = self.decoder(z, *told, self.singers(torch.tensor([singer])))
        white = torch.randn(1, len(source.f0_hz) * CONFIG.hop_samples, generator=torch.Generator().manual_seed(seed))
        return Clip(source_filter.render(controls, CONFIG, white)[0].clamp(-1, 1).numpy(), CONFIG.sample_rate)


def piece_of(source: Analysed, rng: np.random.Generator) -> Analysed:
    """A stretch of a recording."""
    start = int(rng.integers(len(source.f0_hz) - FRAMES))
    span = slice(start, start + FRAMES)
    mels = {window: mel[:, span] for window, mel in source.mels.items()}
    return Analysed(source.recording, mels, source.f0_hz[span], source.level_dbfs[span])


def main() -> None:
    """Analyse, train, convert."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--critic", type=float, default=0.2)
    parser.add_argument("--back-translation", type=float, default=0.5)
    parser.add_argument("--confusion", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus.load(options.data)
    torch.manual_seed(options.seed)
    by_singer = [
        [one for one in analyse_all(corpus, list(corpus.of("train", name)), 2, options.seed) if len(one.f0_hz) > FRAMES]
        for name in corpus.singers
    ]
    experiment, rng = Experiment(corpus, options), np.random.default_rng(options.seed)
    began, step, means = time.monotonic(), 0, {}
    while (share_done := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        singer = torch.from_numpy(rng.integers(len(by_singer), size=BATCH))
        chosen = [by_singer[index][int(rng.integers(len(by_singer[index])))] for index in singer.tolist()]
        for name, value in experiment.step([piece_of(one, rng) for one in chosen], singer, share_done).items():
            means[name] = 0.98 * means.get(name, value) + 0.02 * value
        step += 1
        if step % 200 == 0:
            print(f"step {step}, {share_done:.0%}: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)
    print(f"{step} steps")
    options.out.mkdir(parents=True, exist_ok=True)
    rows, n_seconds, began = ["conversion,source,target"], 0.0, time.monotonic()
    for name in corpus.singers:
        for source in analyse_all(corpus, evenly(corpus.of("test", name), 3), 0, options.seed):
            for index, target in enumerate(corpus.singers):
                clip = experiment.convert(source, index, options.seed)
                files.write(options.out / f"{len(rows)}.flac", clip)
                rows.append(f"{len(rows)}.flac,{source.recording.source},{target}")
                n_seconds += clip.seconds
    print(f"converted {n_seconds:.0f} s of sound in {time.monotonic() - began:.0f} s")
    (options.out / "conversions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
