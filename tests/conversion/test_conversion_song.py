"""One song: its level, its cuts, its chances, its breaths, in bounded memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from singing import HERE, MODEL_RATE, ONE_CHAIN, RATE, SHORT, SHORT_CHUNKS, song, vowel

from moksori import checkpoint
from moksori.audio import files, level
from moksori.audio.clip import Samples
from moksori.audio.level import Measurement
from moksori.audio.pitch import PitchTrack
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice, analysis
from moksori.conversion import song as songs
from moksori.conversion.analysis import Recording
from moksori.conversion.song import Song
from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.songs.base import Request
from moksori.generation.songs.chunks import ChunkConfig
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.progress import Progress
from moksori.training.recipe import Recipe


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


class TestCuts:
    @pytest.mark.parametrize("block_samples", [1, 77, 4096])
    def test_the_result_does_not_depend_on_how_the_file_is_read(
        self, voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_samples: int
    ) -> None:
        soundfile.write(tmp_path / "a.wav", song(3500, 11025), 11025, subtype="FLOAT")
        voice.convert_file(tmp_path / "a.wav", tmp_path / "whole.wav", singer="bass", options=SHORT_CHUNKS)
        read = files.read_mono_blocks
        monkeypatch.setattr(files, "read_mono_blocks", lambda path: read(path, block_samples))
        voice.convert_file(tmp_path / "a.wav", tmp_path / "blocks.wav", singer="bass", options=SHORT_CHUNKS)
        whole, blocks = (soundfile.read(tmp_path / name)[0] for name in ("whole.wav", "blocks.wav"))
        np.testing.assert_array_equal(whole, blocks)

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
        calls: list[Progress] = []
        voice.convert(song(500, MODEL_RATE), MODEL_RATE, singer="bass", options=SHORT_CHUNKS, progress=calls.append)
        shares = [progress.share for progress in calls]
        assert shares == sorted(shares)
        assert shares[0] == 0  # while the recording is read
        assert any(0 < share < 1 for share in shares)
        assert shares[-1] == pytest.approx(1)

    def test_what_is_only_heard_so_far_counts(self, voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the paper's size listening takes minutes; nobody shall think that nothing happens."""

        def silent(*arguments: object, **more: object) -> None:
            raise InterruptedError

        calls: list[Progress] = []
        monkeypatch.setattr(generator, "generate", silent)
        with pytest.raises(InterruptedError):
            voice.convert(song(500, MODEL_RATE), MODEL_RATE, singer="bass", options=SHORT_CHUNKS, progress=calls.append)
        assert calls and 0 < calls[-1].share < 0.5


class TestToldTheMelody:
    def test_breaths_stay_the_songs_own(self, swift_voice: Voice) -> None:
        breath = 0.02 * np.random.default_rng(0).standard_normal(RATE // 2).astype(np.float32)
        source = np.concatenate([vowel(), breath, vowel()])
        kept = swift_voice.convert(source, RATE, singer="tenor", options=dataclasses.replace(HERE, keep_breaths=True))
        lost = swift_voice.convert(source, RATE, singer="tenor", options=HERE)
        inside = slice(len(vowel()) + 3500, len(vowel()) + len(breath) - 3500)
        # The model works at 8 kHz: what is kept of the breath is what it could hear.
        assert np.corrcoef(kept[inside], source[inside])[0, 1] > 0.5
        assert abs(np.corrcoef(lost[inside], source[inside])[0, 1]) < 0.2
        np.testing.assert_allclose(kept[2000:20_000], lost[2000:20_000], atol=1e-5)

    def test_loudness_follows_the_song_or_stands_at_one_level(self, swift_voice: Voice) -> None:
        loud, soft = vowel(seconds=4.0), 0.1 * vowel(seconds=4.0)  # so long that a frame at its edge does not count
        follow = [
            level.rms_dbfs(swift_voice.convert(source, RATE, singer="tenor", options=HERE)) for source in (loud, soft)
        ]
        assert follow[0] - follow[1] == pytest.approx(
            20.0, abs=0.2
        )  # of a soft song the tracker hears a few other frames
        even = dataclasses.replace(HERE, loudness="normalise")
        equal = [
            level.rms_dbfs(swift_voice.convert(source, RATE, singer="tenor", options=even)) for source in (loud, soft)
        ]
        assert equal[0] == pytest.approx(equal[1], abs=0.2)

    def test_silence_is_converted_without_complaint(self, swift_voice: Voice) -> None:
        sung = swift_voice.convert(np.zeros(RATE, np.float32), RATE, singer="bass")
        assert sung.shape == (RATE,) and np.isfinite(sung).all()


MEASURE_MEMORY = """
import resource, sys
from pathlib import Path
import moksori
from moksori.conversion import ConvertOptions
from moksori.generation.songs.chunks import ChunkConfig

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

    def test_nor_is_one_that_is_told_the_melody(self, swift_voice: Voice, tmp_path: Path) -> None:
        short, long = peaks_mb(swift_voice, tmp_path, 0.3, 50, 170)
        # 120 seconds of stereo floats at 48 kHz are 46 MB, of mono 23 MB; 6 MB were measured for 200.
        assert long - short < 14, (short, long)


def test_whoever_watches_may_end_it_while_the_song_is_still_listened_to(swift_voice: Voice) -> None:
    def enough(progress: Progress) -> None:
        raise KeyboardInterrupt(progress.share)

    with pytest.raises(KeyboardInterrupt, match=r"^0\.0$"):
        swift_voice.convert(vowel(), RATE, singer="tenor", progress=enough)


def test_a_mix_is_credited_by_its_shares_and_whoever_was_measured_by_seconds() -> None:
    provenance = Provenance(lineage=(f"{checkpoint.measured_from('mina', 31.0)}; takes 0",))
    begin, end = songs.CREDIT, f"weights {'0123456789abcdef'}"
    assert songs.credit("bass", provenance, "0123456789abcdef" * 4) == f"{begin} bass; {end}"
    assert songs.credit({"bass": 1}, provenance, "0123456789abcdef" * 4) == f"{begin} bass; {end}"
    mix = songs.credit({"bass": 0.75, "mina": 0.25}, provenance, "0123456789abcdef" * 4)
    assert mix == f"{begin} bass:0.75+mina:0.25; mina: measured from 31 s of takes, not trained; {end}"
    assert songs.measured({"bass": 0.75, "mina": 0.25}, provenance) == {"mina": 31.0}


def _silences(*places: tuple[int, int]) -> Measurement:
    """Of a recording of 300 samples at 1 kHz, whose fades take 20."""
    return Measurement(np.zeros(15), 20, 300, 1000, 0.0, 0, silences=places)


class TestSilence:
    def test_it_fades_within_the_silence_and_is_silent_between(self) -> None:
        found = songs._silenced(np.ones(300, np.float32), 0, _silences((100, 200)))
        expected = np.ones(300, np.float32)
        expected[100:120] = 1 - np.arange(20) / 20  # nothing is lost of the sound before it
        expected[120:180] = 0
        expected[180:200] = np.arange(1, 21) / 20
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_at_the_beginning_and_at_the_end_there_is_nothing_to_fade_to(self) -> None:
        found = songs._silenced(np.ones(300, np.float32), 0, _silences((0, 100), (200, 300)))
        assert not found[:80].any() and found[80:100] == pytest.approx(np.arange(1, 21) / 20)
        assert found[200:220] == pytest.approx(1 - np.arange(20) / 20) and not found[220:].any()
        assert (found[100:200] == 1).all()

    def test_blocks_are_silenced_as_the_whole_is_and_what_was_given_stays(self) -> None:
        sound, measured = np.linspace(1, 2, 300, dtype=np.float32), _silences((0, 100), (150, 260))
        given = sound.copy()
        given.flags.writeable = False
        whole = songs._silenced(given, 0, measured)
        blocks = [songs._silenced(given[first : first + 60], first, measured) for first in range(0, 300, 60)]
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
        views = [songs._silenced(part, 100 * number, measured) for number, part in enumerate(np.split(sound, 3))]
        np.testing.assert_array_equal(np.concatenate(views), whole)
        np.testing.assert_array_equal(sound, given)


class TestHeadroom:
    @pytest.fixture
    def loud(self, swift_voice: Voice) -> Voice:
        """A voice that sings as loud as it may, 6 dB above the song."""
        assert isinstance(swift_voice.model, SourceFilterModel)
        torch.nn.init.constant_(swift_voice.model.decoder.last.bias, 3.0)  # type: ignore[arg-type]
        return swift_voice

    @pytest.mark.parametrize(("peak", "is_bent"), [(0.95, True), (1.05, False)])
    def test_only_a_song_beyond_full_scale_may_become_one(self, loud: Voice, peak: float, is_bent: bool) -> None:
        source = vowel(seconds=0.5)
        sung = loud.convert(source * (peak / np.abs(source).max()), RATE, singer="tenor", options=HERE)
        assert np.abs(sung).max() > 0.9
        assert (np.abs(sung).max() <= 1.0) == is_bent

    @pytest.mark.parametrize(("peak", "is_counted"), [(0.95, False), (1.05, True)])
    def test_in_integers_all_is_bent_and_counted_where_the_song_went_beyond(
        self, loud: Voice, tmp_path: Path, peak: float, is_counted: bool
    ) -> None:
        source = vowel(seconds=0.5)
        soundfile.write(tmp_path / "a.wav", source * (peak / np.abs(source).max()), RATE, subtype="FLOAT")
        report = loud.convert_file(tmp_path / "a.wav", tmp_path / "b.flac", singer="tenor", options=HERE)
        assert (report.n_clipped > 0) == is_counted


class TestAsked:
    """What a song asks of the model, and says of itself, before anything is sung."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
        found, open_song = list[Request](), songs.songs.open_song
        monkeypatch.setattr(songs.songs, "open_song", lambda request: (found.append(request), open_song(request))[1])
        return found

    def test_the_song_is_heard_at_the_models_rate_and_level_without_what_lies_below_a_voice(
        self, swift_voice: Voice, asked: list[Request]
    ) -> None:
        voice = Voice(swift_voice.model, Provenance(level_dbfs=-30.0))
        source = vowel(seconds=1.0)
        for offset in (0.0, 0.2):
            opened = _opened(voice, source + np.float32(offset), "bass")
            heard = np.concatenate(list(asked[-1].source()))
            assert len(heard) == voice.sample_rate
            assert level.sung_level_dbfs(level.measure(heard, voice.sample_rate).frame_dbfs) == pytest.approx(
                -30.0, abs=0.3
            )
            assert abs(heard[1000:-1000].mean()) < 1e-3
            assert any("offset" in remark for remark in opened.report.remarks) == bool(offset)

    def test_it_is_moved_to_the_range_of_who_sings(self, swift_voice: Voice) -> None:
        reports = {singer: _opened(swift_voice, vowel(), singer).report for singer in ("bass", "tenor")}
        assert {singer: report.transpose_semitones for singer, report in reports.items()} == {"bass": -12, "tenor": 0}
        assert not reports["tenor"].outside
        (high,) = _opened(swift_voice, vowel(), "tenor", ConvertOptions(transpose=24)).report.outside
        assert (high.note, high.stop_seconds - high.start_seconds) == ("A5", pytest.approx(1.5, abs=0.1))

    def test_remarks_are_on_what_the_model_hears_at_its_rate(
        self, swift_voice: Voice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(analysis, "remarks", lambda analysed, model_rate: [f"heard at {model_rate} Hz"])
        assert _opened(swift_voice, vowel(seconds=0.2), "bass").report.remarks == ["heard at 8000 Hz"]

    def test_octaves_are_repaired_where_it_is_asked(self, swift_voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(analysis.octaves, "repaired", lambda track, read, rate: (track, 3))
        for is_asked in (False, True):
            opened = _opened(swift_voice, vowel(), "tenor", ConvertOptions(repair_octaves=is_asked))
            assert any(remark.startswith("3 stretches of the melody") for remark in opened.report.remarks) == is_asked

    def test_detail_goes_along_where_there_is_a_path_for_it(
        self, swift_voice: Voice, tiny_swift_recipe: Recipe, asked: list[Request]
    ) -> None:
        half = ConvertOptions(detail=0.5)
        with pytest.raises(UserError, match="has no detail path"):
            _opened(swift_voice, vowel(), "bass", half)
        decoder = SourceFilterConfig(channels=8, layers=2, has_detail=True)
        config = dataclasses.replace(tiny_swift_recipe.model, decoder=decoder)  # type: ignore[type-var]
        voice = Voice(SourceFilterModel(config, ["bass", "tenor"]), Provenance())  # type: ignore[arg-type]
        _opened(voice, vowel(), "bass", half)
        assert asked[-1].detail == 0.5
        # Such a voice needs the song's own pitch beside the melody that it is given.
        melody = _steady(330.0)
        opened = _opened(voice, vowel(), "bass", melody=melody)
        assert opened.source_track is not None and np.median(opened.source_track.voiced_hz) == pytest.approx(
            220, rel=0.01
        )

    def test_the_mark_is_laid_into_the_sound_of_the_model_at_its_rate(
        self, swift_voice: Voice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def steps(blocks: Iterable[Samples], sample_rate: int, key: str) -> Iterator[Samples]:
            assert key == "key"
            yield from (np.full(len(block), sample_rate / 1e5, np.float32) for block in blocks)

        monkeypatch.setattr(songs.mark, "marked", steps)
        options = ConvertOptions(mark="key", loudness="normalise")
        sung = np.concatenate(list(_opened(swift_voice, vowel(), "bass", options).sound(iter(()))))
        assert len(sung) == len(vowel()) and np.median(sung) == pytest.approx(swift_voice.sample_rate / 1e5, abs=1e-4)

    def test_a_voice_without_pitch_refuses_melodies_and_repairs(self, voice: Voice) -> None:
        melody = _steady(330.0)
        with pytest.raises(UserError, match="cannot be given another"):
            _opened(voice, song(400, RATE), "bass", melody=melody)
        with pytest.raises(UserError, match="leave --repair-octaves out"):
            _opened(voice, song(400, RATE), "bass", ConvertOptions(repair_octaves=True))
        with pytest.raises(UserError, match="cannot transpose"):
            _opened(voice, song(400, RATE), "bass", ConvertOptions(transpose=2))


def _steady(f0_hz: float) -> PitchTrack:
    """A second of one pitch."""
    return PitchTrack(np.full(100, f0_hz), np.ones(100), np.ones(100, np.bool_), 0.01)


def _opened(
    voice: Voice,
    samples: Samples,
    singer: str,
    options: ConvertOptions | None = None,
    melody: PitchTrack | None = None,
) -> Song:
    """A song at `RATE` that waits to be sung."""
    recording = Recording(lambda: iter([samples]), RATE)
    return Song(voice._session(generator.AUTO), recording, singer, options or ConvertOptions(), melody=melody)
