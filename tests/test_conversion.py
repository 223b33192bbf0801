"""Converting: what comes out has the shape of what went in, in bounded memory, and nothing depends on how it is cut."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from moksori import checkpoint, conversion
from moksori.audio import files, level, mulaw
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Report, SongFile, Voice
from moksori.errors import AudioFileError, ModelFileError, UserError
from moksori.generation import code_song, generator
from moksori.generation.chunks import ChunkConfig
from moksori.generation.windows import Window
from moksori.models.autoencoder import Autoencoder
from moksori.models.encoder import EncoderConfig
from moksori.training.recipe import Recipe

MODEL_RATE = 1000  # Hz: few samples to generate
SHORT = {"shortest_seconds": 0.1, "longest_seconds": 0.12, "fade_seconds": 0.01}
SHORT_CHUNKS = ConvertOptions(chunks=ChunkConfig(streams=3, **SHORT))
ONE_CHAIN = ConvertOptions(chunks=ChunkConfig(streams=1, longest_seconds=float("inf")))

Samples = npt.NDArray[np.float32]


def build(recipe: Recipe, **changes: Any) -> Autoencoder:
    """A model with weights of chance, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = dataclasses.replace(recipe.model, sample_rate=MODEL_RATE, **changes)
        return Autoencoder(config, ["bass", "tenor"])


@pytest.fixture(scope="module")
def voice(tiny_recipe: Recipe) -> Voice:
    return Voice(build(tiny_recipe), Provenance())


def song(n_samples: int, sample_rate: int, amplitude: float = 0.3) -> Samples:
    """A tone that swells and fades, with a little noise."""
    times = np.arange(n_samples) / sample_rate
    noise = np.random.default_rng(1).standard_normal(n_samples)
    tone = np.sin(2 * np.pi * 180 * times) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * times))
    return (amplitude * (0.9 * tone + 0.02 * noise)).astype(np.float32)


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


class TestLevel:
    @pytest.mark.parametrize("factor", [8.0, 2.0**-3, 2.0**-10, 2.0**-13])
    def test_the_result_is_as_much_louder_as_the_source(self, voice: Voice, factor: float) -> None:
        # The model is to hear every recording at one level, from peaks of +8 dBFS to what is silence in 16 bits.
        for rate in (MODEL_RATE, 8000):
            source = song(rate // 4, rate)
            plain = voice.convert(source, rate, singer="bass")
            found = voice.convert(source * np.float32(factor), rate, singer="bass")
            np.testing.assert_allclose(found, plain * factor, atol=1e-3 * factor)

    def test_the_source_is_brought_to_the_level_of_the_training(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "song.wav", song(4000, 8000), 8000, subtype="FLOAT")
        report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="bass")
        sung = level.sung_level_dbfs(level.measure(song(4000, 8000), 8000).frame_dbfs)
        assert report.gain_db == pytest.approx(voice.provenance.level_dbfs - sung)
        assert (report.n_samples, report.sample_rate) == (4000, 8000)

    def test_silence_gets_no_gain(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "silence.wav", np.zeros(3000, np.float32), 8000)
        report = voice.convert_file(tmp_path / "silence.wav", tmp_path / "out.wav", singer="bass")
        assert report.gain_db == 0
        assert files.probe(tmp_path / "out.wav").n_samples == 3000

    def test_clipped_samples_are_counted_in_integer_formats_only(self, voice: Voice, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "loud.wav", song(2000, 8000, amplitude=20.0), 8000, subtype="FLOAT")
        kept = voice.convert_file(tmp_path / "loud.wav", tmp_path / "kept.wav", singer="bass")
        clipped = voice.convert_file(tmp_path / "loud.wav", tmp_path / "clipped.flac", singer="bass")
        assert kept.n_clipped == 0 < clipped.n_clipped
        assert np.abs(soundfile.read(tmp_path / "kept.wav")[0]).max() > 1
        assert np.abs(soundfile.read(tmp_path / "clipped.flac")[0]).max() <= 1


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

        def stop(share: float) -> None:
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


class TestManyClips:
    def test_each_clip_becomes_what_it_becomes_alone(self, voice: Voice) -> None:
        clips = [Clip(song(n_samples, rate), rate) for n_samples, rate in ((1601, 8000), (150, 1000), (7000, 44100))]
        singers = ["tenor", "bass", {"bass": 0.5, "tenor": 0.5}]
        options = dataclasses.replace(ONE_CHAIN, seed=5, backend="float32")
        converted = voice.convert_clips(clips, singers, options=options)
        for clip, singer, found in zip(clips, singers, converted, strict=True):
            alone = voice.convert(clip.samples, clip.sample_rate, singer=singer, options=options)
            assert (found.sample_rate, found.n_samples) == (clip.sample_rate, clip.n_samples)
            np.testing.assert_array_equal(found.samples, alone)

    def test_progress_rises_to_one(self, voice: Voice) -> None:
        told: list[float] = []
        voice.convert_clips([Clip(song(300, 1000), 1000)] * 3, ["bass"] * 3, options=ONE_CHAIN, progress=told.append)
        assert told == sorted(told) and told[0] < 0.5
        assert told[-1] == pytest.approx(1.0)

    def test_no_clips_are_no_work(self, voice: Voice) -> None:
        assert voice.convert_clips([], []) == []

    def test_the_representation_is_the_source_within_the_steps_of_its_codes(self, voice: Voice) -> None:
        clip = Clip(song(1000, MODEL_RATE), MODEL_RATE)
        represented = voice.represent(clip)
        noise = represented.samples - clip.samples
        assert 0 < np.square(noise).mean() < np.square(clip.samples).mean() * 10**-3.3  # 33 dB: eight bits, mu-law


class TestManySongs:
    """Songs in one call, of the lengths and rates of (400, 500, 1200, 90 ms); the cuts make about 17 parts of them."""

    OPTIONS = dataclasses.replace(SHORT_CHUNKS, seed=7, backend="float32")

    @pytest.fixture
    def songs(self, tmp_path: Path) -> list[SongFile]:
        made = []
        for number, (seconds, rate, singer) in enumerate(
            (
                (0.4, 8000, "bass"),
                (0.5, 1000, "tenor"),
                (1.2, 11025, {"bass": 0.5, "tenor": 0.5}),
                (0.09, 8000, "tenor"),
            )
        ):
            path = tmp_path / f"{number}.wav"
            soundfile.write(path, song(round(seconds * rate), rate, 0.1 + 0.1 * number), rate, subtype="FLOAT")
            made.append(SongFile(path, tmp_path / f"{number}.sung.wav", singer))
        return made

    def alone(self, voice: Voice, one: SongFile) -> Samples:
        target = one.destination.with_name(f"{one.source.stem}.alone.wav")
        voice.convert_file(one.source, target, singer=one.singer, options=self.OPTIONS)
        return soundfile.read(target, dtype="float32")[0]

    @pytest.mark.parametrize("n_streams", [1, 2, 3, 5, 40])
    def test_each_becomes_bit_for_bit_what_it_becomes_alone(
        self, voice: Voice, songs: list[SongFile], monkeypatch: pytest.MonkeyPatch, n_streams: int
    ) -> None:
        alone = [self.alone(voice, one) for one in songs]
        sizes = groups(monkeypatch, n_streams)
        outcomes = dict(voice.convert_files(songs, options=self.OPTIONS))
        assert all(isinstance(outcome, Report) for outcome in outcomes.values())
        for one, expected in zip(songs, alone, strict=True):
            np.testing.assert_array_equal(soundfile.read(one.destination, dtype="float32")[0], expected)
        assert all(size == n_streams for size in sizes[:-1])  # no stream stands idle before the last group
        assert sum(sizes) == sum(1 + r.seams.exact + r.seams.faded for r in outcomes.values() if isinstance(r, Report))

    def test_shorter_ones_come_first_and_each_is_there_when_it_is_told(
        self, voice: Voice, songs: list[SongFile], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        groups(monkeypatch, 2)
        order = []
        for number, _ in voice.convert_files(songs, options=self.OPTIONS):
            order.append(number)
            assert [one.destination.exists() for one in songs] == [other in order for other in range(len(songs))]
        assert order == [3, 0, 1, 2]

    def test_a_transposition_of_its_own_goes_before_that_of_the_options(
        self, voice: Voice, songs: list[SongFile]
    ) -> None:
        asked = [dataclasses.replace(songs[0], transpose=3.0), songs[1]]
        outcomes = dict(voice.convert_files(asked, options=self.OPTIONS))
        assert isinstance(outcomes[0], UserError) and "cannot transpose" in str(outcomes[0])
        assert isinstance(outcomes[1], Report)

    @pytest.mark.parametrize("n_streams", [1, 3, 40])
    def test_bad_files_are_named_and_the_others_do_not_notice(
        self, voice: Voice, songs: list[SongFile], monkeypatch: pytest.MonkeyPatch, n_streams: int
    ) -> None:
        """One is missing; one cannot be written; two fail while they are read, at the first or the second reading."""
        alone = self.alone(voice, songs[1])
        groups(monkeypatch, n_streams)
        failing = {songs[0].source: [0], songs[2].source: [9, 3]}  # blocks that each reading gives before it fails
        read = files.read_mono_blocks

        def read_badly(path: Path) -> Iterator[Samples]:
            limit = failing[path].pop(0) if path in failing else 10**9
            for number, block in enumerate(read(path, 2000 if path in failing else 65536)):
                if number >= limit:
                    raise AudioFileError(f"{path}: damaged")
                yield block

        monkeypatch.setattr(conversion.files, "read_mono_blocks", read_badly)
        missing = SongFile(songs[0].source.with_name("missing.wav"), songs[0].destination.with_name("m.wav"), "bass")
        unwritable = dataclasses.replace(songs[3], destination=songs[3].source.parent / "no folder" / "x.wav")
        given = [missing, *songs[:3], unwritable]
        outcomes = dict(voice.convert_files(given, options=self.OPTIONS))
        said = {number: str(outcome) for number, outcome in outcomes.items() if isinstance(outcome, UserError)}
        assert set(said) == {0, 1, 3, 4} and isinstance(outcomes[2], Report)
        for number, reason in ((0, "no such file"), (1, "damaged"), (3, "damaged"), (4, "does not exist")):
            assert reason in said[number]
        np.testing.assert_array_equal(soundfile.read(songs[1].destination, dtype="float32")[0], alone)
        left = {path.name for path in songs[0].source.parent.iterdir()}
        assert left == {"0.wav", "1.wav", "2.wav", "3.wav", "1.alone.wav", "1.sung.wav"}

    def test_interrupted_it_leaves_whole_songs_only(
        self, voice: Voice, songs: list[SongFile], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        groups(monkeypatch, 3)

        def stop(number: int, share: float) -> None:
            if number == 2 and share > 0.6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(voice.convert_files(songs, options=self.OPTIONS, progress=stop))
        left = {path.name for path in songs[0].source.parent.iterdir()}
        assert left == {"0.wav", "1.wav", "2.wav", "3.wav", "3.sung.wav", "0.sung.wav", "1.sung.wav"}

    def test_progress_of_each_song_rises_to_one(self, voice: Voice, songs: list[SongFile]) -> None:
        told: dict[int, list[float]] = {number: [] for number in range(len(songs))}
        outcomes = voice.convert_files(songs, options=self.OPTIONS, progress=lambda n, share: told[n].append(share))
        assert len(list(outcomes)) == len(songs)
        for shares in told.values():
            assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)

    def test_unknown_singers_and_backends_are_told_before_any_work(self, voice: Voice, songs: list[SongFile]) -> None:
        stranger = dataclasses.replace(songs[0], singer="nobody")
        with pytest.raises(UserError, match="nobody"):
            list(voice.convert_files([*songs, stranger]))
        with pytest.raises(UserError, match="never calibrated"):
            list(voice.convert_files(songs, options=ConvertOptions(backend="int8")))
        assert not list(songs[0].source.parent.glob("*.sung.wav"))


def groups(monkeypatch: pytest.MonkeyPatch, n_streams: int) -> list[int]:
    """Let a group have so many streams; to the list their sizes will be added."""
    sizes: list[int] = []
    generate = generator.generate

    def noted(backend: Any, conditioning: Any, uniforms: torch.Tensor, *how: Any) -> torch.Tensor:
        sizes.append(len(uniforms))
        return generate(backend, conditioning, uniforms, *how)

    monkeypatch.setattr(generator, "lockstep_streams", lambda backend: n_streams)
    monkeypatch.setattr(generator, "generate", noted)
    return sizes


class TestChance:
    def test_the_same_seed_sings_the_same_and_another_one_does_not(self, voice: Voice) -> None:
        source = song(1600, 8000)
        first, again, other = (
            voice.convert(source, 8000, singer="bass", options=ConvertOptions(seed=seed)) for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_at_temperature_zero_the_seed_does_not_matter(self, voice: Voice) -> None:
        first, other = (
            voice.convert(song(1600, 8000), 8000, singer="bass", options=ConvertOptions(seed, temperature=0))
            for seed in (3, 4)
        )
        np.testing.assert_array_equal(first, other)

    def test_no_global_generator_is_drawn_from(self, voice: Voice) -> None:
        before = torch.random.get_rng_state()
        voice.convert(song(400, 8000), 8000, singer="bass")
        assert torch.equal(torch.random.get_rng_state(), before)

    @pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
    def test_a_temperature_that_is_none_is_refused(self, temperature: float) -> None:
        with pytest.raises(UserError, match="temperature is"):
            ConvertOptions(temperature=temperature)


class TestCuts:
    @pytest.mark.parametrize("block_samples", [1, 77, 4096])
    def test_the_result_does_not_depend_on_how_the_file_is_read(
        self, voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_samples: int
    ) -> None:
        soundfile.write(tmp_path / "a.wav", song(3500, 11025), 11025, subtype="FLOAT")
        voice.convert_file(tmp_path / "a.wav", tmp_path / "whole.wav", singer="bass", options=SHORT_CHUNKS)
        read = files.read_mono_blocks
        monkeypatch.setattr(conversion.files, "read_mono_blocks", lambda path: read(path, block_samples))
        voice.convert_file(tmp_path / "a.wav", tmp_path / "blocks.wav", singer="bass", options=SHORT_CHUNKS)
        whole, blocks = (soundfile.read(tmp_path / name)[0] for name in ("whole.wav", "blocks.wav"))
        np.testing.assert_array_equal(whole, blocks)

    @pytest.mark.parametrize("block_samples", [1, 30, 10_000])
    def test_pieces_of_a_song_have_the_latent_of_the_whole(
        self, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, block_samples: int
    ) -> None:
        # A context of 31 samples, more than three frames: a piece that lacks any of it differs at its ends.
        model = build(tiny_recipe, encoder=EncoderConfig(2, 4, 4, 3, 5, hop_samples=8))
        with torch.no_grad():
            for weight in model.encoder.parameters():
                weight.abs_()  # nothing cancels, no ReLU shuts: the rim of the context, eight layers away, counts
        hop, n_samples = 8, 1203
        sound = np.random.default_rng(0).uniform(-1, 1, n_samples).astype(np.float32)
        padded = np.concatenate([sound, np.zeros(-n_samples % hop, np.float32)])
        with torch.inference_mode():
            whole = model.encode(mulaw.encode(torch.from_numpy(padded))[None])[0]
        n_frames = whole.shape[1]
        monkeypatch.setattr(code_song._Latents, "_PIECE_SECONDS", 0.1)
        blocks: Iterator[Samples] = (
            sound[start : start + block_samples] for start in range(0, n_samples, block_samples)
        )
        latents = code_song._Latents(model, Window(blocks), n_frames)
        for start, stop in [(0, 1), (0, 30), (7, 20), (7, 60), (58, 59), (59, n_frames)]:
            torch.testing.assert_close(latents.read(start, stop), whole[:, start:stop], atol=0, rtol=1e-5)

    def test_chunks_sing_as_one_chain_does_up_to_the_first_seam(self, voice: Voice, tmp_path: Path) -> None:
        # At the model's own rate there is no filter that smears the seam.
        source = song(400, MODEL_RATE)
        soundfile.write(tmp_path / "a.wav", source, MODEL_RATE, subtype="FLOAT")
        chain = voice.convert(source, MODEL_RATE, singer="bass", options=ONE_CHAIN)
        chunked = voice.convert(source, MODEL_RATE, singer="bass", options=SHORT_CHUNKS)
        nominal, search, fade = 400 // 3, 400 // 3 // 3, 10
        np.testing.assert_allclose(chunked[: nominal - search - fade], chain[: nominal - search - fade], atol=1e-6)
        one = voice.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", singer="bass", options=ONE_CHAIN)
        several = voice.convert_file(tmp_path / "a.wav", tmp_path / "c.wav", singer="bass", options=SHORT_CHUNKS)
        assert one.seams.exact + one.seams.faded == 0
        assert several.seams.exact + several.seams.faded == 2

    def test_groups_of_streams_do_not_matter(self, voice: Voice) -> None:
        one, two, many = (
            voice.convert(
                song(500, MODEL_RATE),
                MODEL_RATE,
                singer="bass",
                options=ConvertOptions(chunks=ChunkConfig(streams=streams, **SHORT)),
            )
            for streams in (1, 2, 5)
        )
        # Products of other sizes round otherwise; a draw on the very edge may then fall to the neighbouring code.
        np.testing.assert_allclose(one, many, atol=1e-5)
        np.testing.assert_allclose(two, many, atol=1e-5)

    def test_progress_rises_to_one(self, voice: Voice) -> None:
        told: list[float] = []
        voice.convert(song(500, MODEL_RATE), MODEL_RATE, singer="bass", options=SHORT_CHUNKS, progress=told.append)
        assert told == sorted(told)
        assert 0 < told[0] < 1
        assert told[-1] == pytest.approx(1)


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
    def test_whoever_is_unknown_is_refused(self, voice: Voice, singer: Any, said: str) -> None:
        with pytest.raises(UserError, match=said):
            voice.convert(song(100, 8000), 8000, singer=singer)

    def test_an_unknown_backend_is_refused(self, voice: Voice) -> None:
        with pytest.raises(UserError, match="known backends are"):
            voice.convert(song(100, 8000), 8000, singer="bass", options=ConvertOptions(backend="magic"))


class TestLoad:
    def test_a_model_file_and_a_run_folder_give_the_same_voice(self, voice: Voice, tmp_path: Path) -> None:
        path = tmp_path / checkpoint.MODEL_FILE
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


MEASURE_MEMORY = """
import resource, sys
from pathlib import Path
import moksori
from moksori.conversion import ConvertOptions
from moksori.generation.chunks import ChunkConfig

voice = moksori.load(sys.argv[1])
longest = float(sys.argv[2])
options = ConvertOptions(chunks=ChunkConfig(shortest_seconds=min(longest, 2.0), longest_seconds=longest))
for song in sys.argv[3:]:
    voice.convert_file(Path(song), Path(song).with_suffix(".flac"), singer="bass", options=options)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peaks_mb(voice: Voice, folder: Path, longest_seconds: float, *seconds: float) -> list[float]:
    """Peak memory of a process after converting each of several ever longer songs, stereo at 48 kHz."""
    checkpoint.write_model(folder / "model.safetensors", voice.model, voice.provenance)
    second = np.repeat(song(48_000, 48_000)[:, None], 2, axis=1)
    for length in seconds:
        with soundfile.SoundFile(folder / f"{length}.wav", "w", 48_000, 2, format="RF64") as file:
            for _ in range(round(length)):
                file.write(second)
    songs = [str(folder / f"{length}.wav") for length in seconds]
    command = [sys.executable, "-c", MEASURE_MEMORY, str(folder / "model.safetensors"), str(longest_seconds), *songs]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3000).stdout
    for length in seconds:
        assert files.probe(folder / f"{length}.flac").n_samples == 48_000 * length
    return [float(line) for line in said.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
class TestMemory:
    def test_a_song_is_never_in_memory_as_a_whole(self, voice: Voice, tmp_path: Path) -> None:
        short, long = peaks_mb(voice, tmp_path, 0.3, 5, 60)
        # A minute of stereo floats is 23 MB, of mono 11.5 MB.
        assert long - short < 6, (short, long)

    @pytest.mark.slow
    def test_two_hours_take_hardly_more_memory_than_a_minute(self, voice: Voice, tmp_path: Path) -> None:
        short, long = peaks_mb(voice, tmp_path, 12.0, 60, 7200)
        # Mono floats would be 1,380 MB.
        assert long - short < 60, (short, long)
