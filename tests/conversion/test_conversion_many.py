"""Songs and clips in one call: each becomes what it becomes alone, whoever fails beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from singing import ONE_CHAIN, RATE, SHORT_CHUNKS, song, vowel

from moksori.audio import files
from moksori.audio.clip import Clip, Samples
from moksori.conversion import ConvertOptions, Report, SongFile, Voice
from moksori.errors import AudioFileError, UserError
from moksori.generation import generator
from moksori.progress import Progress


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
        calls: list[Progress] = []
        voice.convert_clips([Clip(song(300, 1000), 1000)] * 3, ["bass"] * 3, options=ONE_CHAIN, progress=calls.append)
        done = [progress.done for progress in calls]
        assert done == sorted(done) and done[0] < 1.5
        assert done[-1] == pytest.approx(3.0) and {progress.total for progress in calls} == {3}

    def test_no_clips_are_no_work(self, voice: Voice) -> None:
        assert voice.convert_clips([], []) == []


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

        monkeypatch.setattr(files, "read_mono_blocks", read_badly)
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

        def stop(progress: Progress) -> None:
            if progress.number == 2 and progress.share > 0.6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(voice.convert_files(songs, options=self.OPTIONS, progress=stop))
        left = {path.name for path in songs[0].source.parent.iterdir()}
        assert left == {"0.wav", "1.wav", "2.wav", "3.wav", "3.sung.wav", "0.sung.wav", "1.sung.wav"}

    def test_progress_of_each_song_rises_to_one(self, voice: Voice, songs: list[SongFile]) -> None:
        calls: dict[int, list[float]] = {number: [] for number in range(len(songs))}
        outcomes = voice.convert_files(
            songs, options=self.OPTIONS, progress=lambda now: calls[now.number].append(now.share)
        )
        assert len(list(outcomes)) == len(songs)
        for shares in calls.values():
            assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)

    def test_unknown_singers_and_backends_are_told_before_any_work(self, voice: Voice, songs: list[SongFile]) -> None:
        stranger = dataclasses.replace(songs[0], singer="nobody")
        with pytest.raises(UserError, match="nobody"):
            list(voice.convert_files([*songs, stranger]))
        with pytest.raises(UserError, match="largest input of 0 layers"):
            list(voice.convert_files(songs, options=ConvertOptions(backend="int8")))
        assert not list(songs[0].source.parent.glob("*.sung.wav"))


def groups(monkeypatch: pytest.MonkeyPatch, n_streams: int) -> list[int]:
    """Let a group have so many streams; to the list their sizes will be added."""
    sizes: list[int] = []
    generate = generator.generate

    def noted(backend: Any, conditioning: Any, uniforms: torch.Tensor, *how: Any, **more: Any) -> torch.Tensor:
        sizes.append(len(uniforms))
        return generate(backend, conditioning, uniforms, *how, **more)

    monkeypatch.setattr(generator, "lockstep_streams", lambda backend: n_streams)
    monkeypatch.setattr(generator, "generate", noted)
    return sizes


def test_many_clips_are_as_each_alone(swift_voice: Voice) -> None:
    clips = [Clip(vowel(220.0, 0.8), RATE), Clip(vowel(440.0, 0.5), RATE)]
    together = swift_voice.convert_clips(clips, ["bass", "tenor"], transpose_semitones=[-12.0, 0.0])
    alone = [
        swift_voice.convert(clip.samples, RATE, singer=singer, options=ConvertOptions(transpose=semitones))
        for clip, singer, semitones in zip(clips, ["bass", "tenor"], [-12.0, 0.0], strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.samples, other, atol=1e-6)
