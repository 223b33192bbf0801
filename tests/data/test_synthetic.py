from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import synthetic
from synthetic import Note, Singer, render

from moksori.audio import files, level, pitch
from moksori.audio.clip import Samples


def spectrum_db(samples: Samples) -> npt.NDArray[np.float64]:
    return np.asarray(20 * np.log10(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-9))


@pytest.mark.parametrize("singer", synthetic.SINGERS, ids=lambda singer: singer.name)
def test_the_pitch_heard_is_the_pitch_stated(singer: Singer) -> None:
    generator = np.random.default_rng(0)
    sung = render(synthetic.melody(singer, 3.0, generator), singer, 16000, generator)
    heard = pitch.PitchTracker().track(sung.clip)
    stated_hz = np.interp(heard.times_seconds, np.arange(len(sung.f0_hz)) * sung.hop_seconds, sung.f0_hz)
    both = heard.is_voiced & (stated_hz > 0)
    assert both.sum() > 0.8 * (stated_hz > 0).sum()
    assert np.median(np.abs(1200 * np.log2(heard.f0_hz[both] / stated_hz[both]))) < 10  # the tracker's own error


def test_another_singer_sings_the_same_pitch_with_another_timbre() -> None:
    song = [Note(60, 0.5, "a"), Note(64, 0.5, "o")]
    still = [Singer(name, scale, vibrato_cents=0) for name, scale in (("x", 1.0), ("y", 1.2))]
    x, y = (render(song, singer, 16000, np.random.default_rng(0)) for singer in still)
    assert np.array_equal(x.f0_hz, y.f0_hz)
    assert np.abs(spectrum_db(x.clip.samples) - spectrum_db(y.clip.samples)).mean() > 3


def test_formants_scale_with_the_singer() -> None:
    peaks = []
    for scale in (1.0, 1.25):
        singer = Singer("x", scale, tilt_db_per_octave=0, vibrato_cents=0, breath=0)
        samples = render([Note(33, 1.0, "i")], singer, 16000, np.random.default_rng(0)).clip.samples
        high = spectrum_db(samples)[1800:]  # bins of 1 Hz; above the first formant
        peaks.append(1800 + int(high.argmax()))
    assert peaks[1] / peaks[0] == pytest.approx(1.25, abs=0.05)  # harmonics are 55 Hz apart, 2 percent of the formant


def test_length_level_and_rests() -> None:
    song = [Note(None, 0.25), Note(57, 0.5), Note(None, 0.25)]
    sung = render(song, Singer("x"), 16000, np.random.default_rng(0))
    assert sung.clip.n_samples == 16000
    assert len(sung.f0_hz) == 200
    assert not sung.f0_hz[:50].any()
    assert sung.f0_hz[50:150].all()
    assert not sung.f0_hz[150:].any()
    assert not sung.clip.samples[: 16000 // 5].any()
    assert level.rms_dbfs(sung.clip.samples[4500:11500]) == pytest.approx(-20, abs=1)


def test_the_same_generator_sings_the_same() -> None:
    song = [Note(57, 0.2)]
    a, b = (render(song, Singer("x"), 16000, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.clip.samples, b.clip.samples)


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_nothing_aliases(sample_rate: int) -> None:
    singer = Singer("x", tilt_db_per_octave=0, vibrato_cents=0, breath=0)
    samples = render([Note(81, 1.0)], singer, sample_rate, np.random.default_rng(0)).clip.samples
    power = 10 ** (spectrum_db(samples) / 10)  # bins of 1 Hz; harmonics at multiples of 880 Hz
    distance = np.abs((np.arange(len(power)) + 440) % 880 - 440)
    assert power[distance > 20].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("song", [[], [Note(60, 1e-6)]])
def test_an_empty_song_is_refused(song: list[Note]) -> None:
    with pytest.raises(ValueError, match="empty song"):
        render(song, Singer("x"), 16000, np.random.default_rng(0))


def test_unknown_vowels_and_impossible_voices_are_refused() -> None:
    with pytest.raises(ValueError, match="known are a, e, i, o, u"):
        Note(60, 1.0, "y")
    with pytest.raises(ValueError, match="more than 0"):
        Note(60, 0.0)
    with pytest.raises(ValueError, match="formant_scale above 0"):
        Singer("x", 0.0)


def test_a_written_corpus_has_a_folder_for_each_singer(songs: Path) -> None:
    assert sorted(path.relative_to(songs).as_posix() for path in songs.glob("*/*"))[:5] == [
        "alto/song-1.wav",
        "alto/song-2.wav",
        "alto/song-3.wav",
        "alto/song-4.wav",
        "bass/song-1.wav",
    ]
    info = files.probe(songs / "alto" / "song-1.wav")
    assert (info.sample_rate, info.n_channels) == (16000, 1)
    assert 2.0 <= info.seconds <= 2.75
