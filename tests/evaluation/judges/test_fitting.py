"""What the judges hear: gain does not matter, pitch moves without its formants, and weights are kept safely."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from synthetic import Note, Singer
from torch import Tensor, nn

from moksori.audio import level, pitch, resample, signals, spectral
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.evaluation.judges import fitting

RATE = 16000
MAN = Singer("man", vibrato_cents=0.0, breath=0.005)


def _vowel(midi: float, vowel: str = "a", singer: Singer = MAN) -> Clip:
    """A second of one vowel at one pitch."""
    song = [Note(midi=midi, seconds=1.0, vowel=vowel)]
    return synthetic.render(song, singer, RATE, np.random.default_rng(0)).clip


def _spectrum(mel: Tensor) -> Tensor:
    """Mean log-mel of the middle of a clip, smoothed over harmonics, without its mean."""
    middle = mel[:, mel.shape[1] // 4 : 3 * mel.shape[1] // 4].mean(dim=1)
    smooth = nn.functional.avg_pool1d(middle[None, None], 9, 1, 4, count_include_pad=False)[0, 0]
    return smooth - smooth.mean()


def test_gain_and_sample_rate_do_not_matter() -> None:
    vowel = _vowel(50)
    mel = fitting.features(vowel)
    assert mel.shape == (80, 100)
    louder = fitting.features(Clip(level.apply_gain(vowel.samples, -12.0), RATE))
    assert torch.allclose(mel, louder, atol=1e-3)
    finer = fitting.features(resample.resample_clip(vowel, 24000))
    assert (mel - finer)[:, 5:-5].abs().mean() < 0.05


@pytest.mark.parametrize("clip", [Clip(np.zeros(0, np.float32), RATE), signals.silence(0.5, RATE)])
def test_silence_is_the_floor(clip: Clip) -> None:
    mel = fitting.features(clip)
    assert mel.shape[1] >= 1
    assert torch.allclose(mel, torch.tensor((np.log(spectral.SpectralConfig(RATE).floor) + 6.0) / 2.5).float())


def test_pitch_moves_and_formants_stay() -> None:
    """What comes out is nearer to the vowel sung at the other pitch than plain resampling is, by half."""
    ours, plain = [], []
    for semitones in (-6, -3, 3, 6):
        source, goal = _vowel(52), _spectrum(fitting.features(_vowel(52 + semitones)))
        ratio = 2 ** (semitones / 12)
        moved = fitting.features_at_pitch(source, semitones, top_hz=pitch.midi_to_hz(52))
        resampled = Clip(resample.resample(source.samples, round(RATE * ratio), RATE), RATE)
        ours.append(float((_spectrum(moved) - goal).abs().mean()))
        plain.append(float((_spectrum(fitting.features(resampled)) - goal).abs().mean()))
        assert abs(moved.shape[1] - 100 / ratio) <= 2
        assert ours[-1] < plain[-1]
    assert sum(ours) < 0.6 * sum(plain)


def test_no_move_is_no_change() -> None:
    vowel = _vowel(50)
    moved, still = fitting.features_at_pitch(vowel, 0.0, 150.0), fitting.features(vowel)
    assert (moved - still).abs().mean() < 0.05  # the floor is put under bins, not under bands


def test_hardening_keeps_the_shape_and_leaves_a_part_uncut() -> None:
    mel = fitting.features(_vowel(50)).repeat(40, 1, 1)
    hard = fitting.augment(mel, torch.Generator().manual_seed(0))
    assert hard.shape == mel.shape
    top = hard[:, -1].std(dim=1)
    is_cut = hard[:, -1].amax(dim=1) <= hard.amin(dim=(1, 2)) + 1e-6
    assert 8 < int(is_cut.sum()) < 32, top
    assert not torch.equal(hard[0], hard[1])
    assert torch.equal(hard, fitting.augment(mel, torch.Generator().manual_seed(0)))


def test_a_crop_of_a_short_clip_repeats_it() -> None:
    mel = torch.arange(6.0).reshape(2, 3)
    assert fitting.crop(mel, 6, torch.Generator()).tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]


class TestKept:
    def _net(self) -> nn.Linear:
        net = nn.Linear(2, 2)
        nn.init.zeros_(net.weight)
        return net

    def _kept(self, corpus: Corpus, net: nn.Linear, key: int = 1) -> int:
        """How many times the net had to be fitted."""
        n_fits = 0

        def fit() -> None:
            nonlocal n_fits
            n_fits += 1
            nn.init.ones_(net.weight)

        fitting.kept(corpus, "test", {"key": key}, net, fit)
        return n_fits

    @pytest.fixture
    def corpus(self, tiny_corpus: Corpus, tmp_path: Path) -> Corpus:
        return dataclasses.replace(tiny_corpus, folder=tmp_path)

    def test_a_net_is_fitted_once(self, corpus: Corpus) -> None:
        assert self._kept(corpus, self._net()) == 1
        again = self._net()
        assert self._kept(corpus, again) == 0
        assert torch.equal(again.weight, torch.ones(2, 2))

    def test_another_key_and_other_data_are_another_net(self, corpus: Corpus) -> None:
        assert self._kept(corpus, self._net()) == 1
        assert self._kept(corpus, self._net(), key=2) == 1
        fewer = dataclasses.replace(corpus, recordings=corpus.recordings[:-1])
        assert self._kept(fewer, self._net()) == 1

    def test_damaged_weights_are_fitted_again(self, corpus: Corpus) -> None:
        self._kept(corpus, self._net())
        (path,) = (corpus.folder / fitting.FOLDER).iterdir()
        path.write_bytes(path.read_bytes()[:-4])
        assert self._kept(corpus, self._net()) == 1
        assert self._kept(corpus, self._net()) == 0
