"""A voice: what comes out has the shape of what went in; who sings; files and loading."""

from __future__ import annotations

import base64
import dataclasses
import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from singing import MODEL_RATE, RANGES, RATE, SHORT_CHUNKS, build, song, vowel

from moksori import checkpoint, conversion, run_files
from moksori.audio import files, level, mulaw
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.errors import AudioFileError, ModelFileError, UserError
from moksori.generation import generator
from moksori.models.wavenet import WaveNet
from moksori.progress import Progress
from moksori.training.recipe import Recipe


class TestShape:
    @pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 48000, 96000])
    def test_the_length_stays_to_the_sample(self, voice: Voice, rate: int) -> None:
        for n_samples in (rate // 7, rate // 7 + 1):
            found = voice.convert(song(n_samples, rate), rate, singer="bass", options=SHORT_CHUNKS)
            assert found.shape == (n_samples,)
            assert found.dtype == np.float32
            assert np.isfinite(found).all()

    @pytest.mark.parametrize("n_samples", [1, 2, 3, 39, 41])
    def test_a_song_shorter_than_a_frame_or_the_receptive_field_converts(self, voice: Voice, n_samples: int) -> None:
        assert len(voice.convert(song(n_samples, MODEL_RATE), MODEL_RATE, singer="bass")) == n_samples
        assert len(voice.convert(song(n_samples, 44100), 44100, singer="bass")) == n_samples

    @pytest.mark.parametrize("n_channels", [1, 2, 5])
    def test_every_channel_gets_what_their_mean_becomes(self, voice: Voice, n_channels: int) -> None:
        channels = np.random.default_rng(0).uniform(-0.3, 0.3, (1500, n_channels)).astype(np.float32)
        found = voice.convert(channels, 8000, singer="bass")
        mono = voice.convert(channels.mean(axis=1, dtype=np.float32), 8000, singer="bass")
        assert found.shape == channels.shape
        for channel in range(n_channels):
            np.testing.assert_array_equal(found[:, channel], mono)

    @pytest.mark.parametrize(
        "samples",
        [
            np.zeros(0),
            np.zeros((0, 2)),
            np.zeros((2, 3, 4)),
            np.float32(1),
            np.array([0.0, np.nan]),
            np.array([np.inf]),
        ],
    )
    def test_what_is_no_sound_is_refused(self, voice: Voice, samples: Any) -> None:
        with pytest.raises(ValueError, match="finite and"):
            voice.convert(samples, 8000, singer="bass")

    @pytest.mark.parametrize(
        ("samples", "next_step"),
        [
            (np.full(400, 3000, np.int16), "divide 16-bit ones by 32768"),  # once taken for a hundred times full scale
            (np.zeros((2, 400), np.float32), "transpose them"),  # once taken for two samples of 400 channels
        ],
    )
    def test_sound_of_another_layout_is_refused_with_the_next_step(
        self, voice: Voice, samples: Any, next_step: str
    ) -> None:
        with pytest.raises(ValueError, match=next_step):
            voice.convert(samples, 8000, singer="bass")


class TestFiles:
    @pytest.mark.parametrize("n_channels", [1, 2, 5])
    @pytest.mark.parametrize(
        ("name", "subtype", "rate"),
        [
            ("a.wav", "PCM_U8", 8000),
            ("a.wav", "PCM_16", 44100),
            ("a.wav", "PCM_24", 96000),
            ("a.wav", "PCM_32", 22050),
            ("a.wav", "FLOAT", 48000),
            ("a.wav", "DOUBLE", 11025),
            ("a.flac", "PCM_16", 44100),
            ("a.flac", "PCM_24", 96000),
            ("a.ogg", "VORBIS", 44100),
            ("a.aiff", "PCM_16", 32000),
            ("A.WAV", "PCM_16", 16000),
        ],
    )
    def test_rate_channels_length_and_format_stay(
        self, voice: Voice, tmp_path: Path, name: str, subtype: str, rate: int, n_channels: int
    ) -> None:
        source, destination = tmp_path / name, tmp_path / f"converted{Path(name).suffix}"
        n_samples = rate // 9
        soundfile.write(source, np.repeat(song(n_samples, rate)[:, None], n_channels, axis=1), rate, subtype=subtype)
        report = voice.convert_file(source, destination, singer="tenor", options=SHORT_CHUNKS)
        before, after = files.probe(source), files.probe(destination)
        assert dataclasses.replace(after, path=source) == before
        assert (after.n_samples, report.n_samples, report.note) == (n_samples, n_samples, "")

    @pytest.mark.parametrize(("rate", "n_channels"), [(8000, 1), (44100, 2), (48000, 1)])
    def test_mp3_stays_mp3_of_the_same_length(self, voice: Voice, tmp_path: Path, rate: int, n_channels: int) -> None:
        source, destination = tmp_path / "a.mp3", tmp_path / "b.mp3"
        soundfile.write(source, np.repeat(song(rate // 4, rate)[:, None], n_channels, axis=1), rate)
        voice.convert_file(source, destination, singer="tenor", options=SHORT_CHUNKS)
        assert dataclasses.replace(files.probe(destination), path=source) == files.probe(source)

    def test_m4a_becomes_flac_and_says_so(self, voice: Voice, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / "a.m4a"), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(song(4096, 16000)[None, :], format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux([*stream.encode(frame), *stream.encode(None)])
        report = voice.convert_file(tmp_path / "a.m4a", tmp_path / "b.flac", singer="bass")
        before, after = files.probe(tmp_path / "a.m4a"), files.probe(tmp_path / "b.flac")
        assert (after.sample_rate, after.n_channels, after.n_samples) == (16000, 1, before.n_samples)
        assert "16-bit FLAC" in report.note

    def test_another_suffix_gives_another_format(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", song(900, 8000), 8000, subtype="PCM_24")
        voice.convert_file(tmp_path / "a.wav", tmp_path / "a.flac", singer="bass")
        found = files.probe(tmp_path / "a.flac")
        assert (found.format, found.subtype, found.n_samples) == ("FLAC", "PCM_16", 900)

    def test_a_file_converts_as_its_samples_do(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", song(3000, 16000), 16000, subtype="FLOAT")
        voice.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", singer="bass", options=SHORT_CHUNKS)
        expected = voice.convert(song(3000, 16000), 16000, singer="bass", options=SHORT_CHUNKS)
        np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], expected)

    def test_nothing_is_left_behind_when_it_fails(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", song(3000, 8000), 8000)
        (tmp_path / "b.wav").write_bytes(b"old")

        def stop(progress: Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            voice.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", singer="bass", progress=stop)
        assert (tmp_path / "b.wav").read_bytes() == b"old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]

    def test_a_missing_song_and_an_unwritable_suffix_are_refused(self, voice: Voice, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match="no such file"):
            voice.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", singer="bass")
        soundfile.write(tmp_path / "a.wav", song(100, 8000), 8000)
        with pytest.raises(AudioFileError, match=r"cannot write \.m4a"):
            voice.convert_file(tmp_path / "a.wav", tmp_path / "b.m4a", singer="bass")


class TestSingers:
    def test_the_singer_is_heard(self, voice: Voice) -> None:
        bass, tenor, between = (
            voice.convert(song(1600, 8000), 8000, singer=singer)
            for singer in ("bass", "tenor", {"bass": 1, "tenor": 1})
        )
        assert not np.array_equal(bass, tenor)
        assert not np.array_equal(bass, between)
        assert not np.array_equal(tenor, between)

    def test_a_mix_is_the_weighted_mean_of_the_singers(self, voice: Voice) -> None:
        mixed = voice.vector({"bass": 7, "tenor": 3})
        torch.testing.assert_close(mixed, 0.7 * voice.vector("bass") + 0.3 * voice.vector("tenor"))
        assert torch.equal(voice.vector({"bass": 0.2}), voice.vector("bass"))

    @pytest.mark.parametrize(
        ("singer", "said"),
        [
            ("nobody", "no singer named 'nobody'; it knows bass, tenor"),
            ({"bass": 1, "nobody": 1}, "no singer named 'nobody'"),
            ({"bass": -1}, "positive"),
            ({"bass": float("nan")}, "positive"),
            ({}, "positive"),
        ],
    )
    def test_whoever_is_unknown_is_refused(self, voice: Voice, swift_voice: Voice, singer: Any, said: str) -> None:
        """By a voice that is told the pitch, too: once it first looked for the range of such a mix, and fell."""
        for each in (voice, swift_voice):
            with pytest.raises(UserError, match=said):
                each.convert(song(100, 8000), 8000, singer=singer)


def test_the_representation_is_the_source_within_the_steps_of_its_codes(voice: Voice) -> None:
    clip = Clip(song(1000, MODEL_RATE), MODEL_RATE)
    represented = voice.represent(clip)
    noise = represented.samples - clip.samples
    assert 0 < np.square(noise).mean() < np.square(clip.samples).mean() * 10**-3.3  # 33 dB: eight bits, mu-law


def test_a_backend_is_made_once_for_the_question_and_for_all_songs(
    tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    make = generator.backend_for

    def noted(decoder: WaveNet, name: str, layer_peaks: Sequence[float]) -> generator.Backend:
        asked.append(name)
        return make(decoder, name, layer_peaks)

    monkeypatch.setattr(generator, "backend_for", noted)
    voice = Voice(build(tiny_recipe), Provenance())
    usual = voice.backend_name()
    voice.convert(song(50, MODEL_RATE), MODEL_RATE, singer="bass")
    clips = [Clip(song(50, MODEL_RATE), MODEL_RATE)] * 2
    voice.convert_clips(clips, ["bass", "tenor"], options=ConvertOptions(backend=usual))
    assert asked == [usual]
    for name in ("reference", usual):  # only the last one is kept
        voice.convert(song(50, MODEL_RATE), MODEL_RATE, singer="bass", options=ConvertOptions(backend=name))
    assert asked == [usual, "reference", usual]


class TestLoad:
    def test_a_model_file_and_a_run_folder_give_the_same_voice(self, voice: Voice, tmp_path: Path) -> None:
        path = tmp_path / run_files.MODEL
        checkpoint.write_model(path, voice.model, Provenance(level_dbfs=-30.0))
        source = song(800, 8000)
        for place in (path, str(path), tmp_path):
            loaded = conversion.load(place)
            assert (loaded.singers, loaded.sample_rate) == (("bass", "tenor"), MODEL_RATE)
            assert loaded.provenance.level_dbfs == -30
        plain = Voice(voice.model, Provenance(level_dbfs=-30.0)).convert(source, 8000, singer="bass")
        np.testing.assert_array_equal(loaded.convert(source, 8000, singer="bass"), plain)

    def test_of_a_run_the_best_model_is_taken_and_the_last_one_by_its_name(self, voice: Voice, tmp_path: Path) -> None:
        for name, steps in (("model.safetensors", 9), ("best.safetensors", 5)):
            checkpoint.write_model(tmp_path / name, voice.model, Provenance(steps=steps))
        assert conversion.load(tmp_path).provenance.steps == 5
        assert conversion.load(tmp_path / "model.safetensors").provenance.steps == 9

    def test_a_folder_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"model\.safetensors: no such file"):
            conversion.load(tmp_path)


def test_length_and_channels_stay(swift_voice: Voice) -> None:
    for n_samples in (1, 100, 4001, 30_000):
        assert swift_voice.convert(vowel()[:n_samples], RATE, singer="tenor").shape == (n_samples,)
    stereo = np.stack([vowel(), vowel()], axis=1)
    sung = swift_voice.convert(stereo, RATE, singer="tenor")
    assert sung.shape == stereo.shape and np.array_equal(sung[:, 0], sung[:, 1])


def test_a_model_file_remembers_ranges_and_kind(swift_voice: Voice, tmp_path: Path) -> None:
    checkpoint.write_model(tmp_path / "model.safetensors", swift_voice.model, swift_voice.provenance)
    again = conversion.load(tmp_path)
    assert again.is_pitch_conditioned and again.provenance.ranges == RANGES
    one, two = (v.convert(vowel(), RATE, singer="bass") for v in (swift_voice, again))
    np.testing.assert_array_equal(one, two)


class TestLookingInside:
    """What a notebook asks of a voice, beside a conversion."""

    def test_the_latent_is_that_of_the_conversion_for_both_kinds(self, voice: Voice, swift_voice: Voice) -> None:
        for one in (voice, swift_voice):
            config = one.model.config
            n_samples = round(0.5 * one.sample_rate)
            z = one.encode(song(n_samples, one.sample_rate), one.sample_rate)
            assert z.shape == (config.encoder.latent_channels, -(-n_samples // config.latent_hop_samples))
            assert np.isfinite(z).all() and z.std() > 0

    def test_the_latent_of_codes_is_what_the_encoder_says_of_them(self, voice: Voice) -> None:
        samples = song(800, MODEL_RATE)
        z = voice.encode(samples, MODEL_RATE)
        clip = Clip(samples, MODEL_RATE)
        gain_db = level.gain_of(clip, voice.provenance.level_dbfs)
        codes = mulaw.encode(torch.from_numpy(level.apply_gain(samples, gain_db)))
        with torch.no_grad():
            expected = voice.model.encoder(codes[None])[0].numpy()  # type: ignore[operator]
        np.testing.assert_allclose(z[:, : expected.shape[1]], expected, atol=1e-4)

    def test_controls_have_the_pitch_that_is_asked_for_and_the_singers_envelopes(self, swift_voice: Voice) -> None:
        found = {
            singer: swift_voice.controls(vowel(), RATE, singer=singer, options=ConvertOptions(transpose=12))
            for singer in swift_voice.singers
        }
        bass, tenor = found.values()
        n_bands = swift_voice.model.config.synthesiser.n_bands  # type: ignore[union-attr]
        assert bass["harmonics"].shape == bass["noise"].shape == (n_bands, len(bass["f0_hz"]))
        voiced = bass["f0_hz"][bass["f0_hz"] > 0]
        assert np.median(voiced) == pytest.approx(440, rel=0.01)  # an octave above the song
        assert not np.allclose(bass["harmonics"], tenor["harmonics"])

    def test_what_samples_codes_has_no_controls(self, voice: Voice) -> None:
        with pytest.raises(UserError, match="has no controls of a synthesiser"):
            voice.controls(song(400, MODEL_RATE), MODEL_RATE, singer="bass")

    def test_a_voice_and_a_clip_show_themselves_in_a_notebook(self, swift_voice: Voice) -> None:
        assert "bass</td><td>D#2 to D#3" in swift_voice._repr_html_()
        clip = Clip(vowel(), RATE)
        shown = clip._repr_html_()
        content = base64.b64decode(shown.split("base64,")[1].split('"')[0])
        with wave.open(io.BytesIO(content)) as file:
            assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (RATE, clip.n_samples, 1)
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        np.testing.assert_allclose(heard, clip.samples, atol=1 / 32767)
        assert repr(clip) == f"<Clip of 1.50 s at 22050 Hz, peak {np.abs(clip.samples).max():.3f}>"
