"""One song: its level, its cuts, its chances, its breaths, in bounded memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from singing import HERE, MODEL_RATE, ONE_CHAIN, RATE, SHORT, SHORT_CHUNKS, song, vowel

from moksori import checkpoint
from moksori.audio import files, level
from moksori.conversion import ConvertOptions, Voice
from moksori.generation import generator
from moksori.generation.songs.chunks import ChunkConfig
from moksori.progress import Progress


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
