"""The voice that comes with the package: it loads, sings in tune, and says whose it is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import moksori
from moksori.audio import files, pitch
from moksori.audio.clip import Clip
from moksori.conversion import SHIPPED_VOICE, ConvertOptions

DEMO = Path(__file__).parents[1] / "demo"


@pytest.fixture(scope="module")
def voice() -> moksori.Voice:
    return moksori.load()


def test_it_is_small_and_knows_only_singers_whose_terms_allow_it(voice: moksori.Voice) -> None:
    assert set(voice.singers) == {"dorodoro", "kumi", "scottpoid", "syn_bass", "syn_child", "syn_sop", "syn_tenor"}
    voices = resources.files("moksori") / "voices"
    assert len((voices / SHIPPED_VOICE).read_bytes()) < 8_000_000


def test_its_card_and_header_credit_everybody(voice: moksori.Voice) -> None:
    card = (resources.files("moksori") / "voices" / "first.md").read_text(encoding="utf-8")
    for credit in ("SCOTTPOID", "Hitsuboku Kumi", "Cubialpha", "dorodoro", "Nagoya Institute of Technology"):
        assert credit in card
        assert credit.lower() in voice.provenance.licence_note.lower()


@pytest.mark.parametrize("singer", ["scottpoid", "kumi", "dorodoro"])
def test_it_sings_arirang_in_tune(voice: moksori.Voice, singer: str) -> None:
    song = files.read(DEMO / "arirang.flac")
    clip = Clip(song.samples[: 12 * song.sample_rate], song.sample_rate)
    semitones = voice.transposition(clip, singer, ConvertOptions())
    sung = voice.convert(clip.samples, clip.sample_rate, singer=singer)
    tracker = pitch.PitchTracker()
    asked, found = tracker.track(clip), tracker.track(Clip(sung, clip.sample_rate))
    both = asked.is_voiced & found.is_voiced
    cents = pitch.cents_between(found.f0_hz[both], asked.f0_hz[both]) - 100 * semitones
    assert both.sum() > 0.9 * asked.is_voiced.sum()
    assert np.mean(np.abs(cents) < 50) > 0.95
    assert np.abs(sung).max() <= 1.0
