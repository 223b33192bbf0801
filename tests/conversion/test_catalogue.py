"""A catalogue: what is done is not done again, what fails stops nothing, and the bytes are those of one machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import soundfile
from singing import HERE, RATE, vowel

from moksori import checkpoint
from moksori.checkpoint import Provenance
from moksori.conversion import SongFile, catalogue, load
from moksori.conversion.catalogue import Job, Kit
from moksori.errors import UserError
from moksori.models.source_filter_model import SourceFilterModel
from moksori.workers.places import Place
from moksori.workers.pool import Lost, ThreadPool


@pytest.fixture
def model(tiny_swift: SourceFilterModel, tmp_path: Path) -> bytes:
    path = tmp_path / "voice.safetensors"
    checkpoint.write_model(path, tiny_swift, Provenance("moksori 0", "tiny", 7, 3.0, "f" * 64))
    return path.read_bytes()


@pytest.fixture
def songs(tmp_path: Path) -> Place:
    folder = tmp_path / "songs"
    for number, name in enumerate(["a/one.wav", "a/two.wav", "three.wav"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, vowel(seconds=0.3 + 0.1 * number), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF....")
    (folder / "words.txt").write_bytes(b"la la")
    return Place.of(folder)


VOICES = {"bass": {"bass": 1.0}}


def renamed(name: PurePosixPath, label: str) -> str:
    return str(name.with_suffix(f".{label}{name.suffix}"))


def jobs_of(songs: Place, out: Place) -> list[Job]:
    jobs, refused = catalogue.jobs_for([songs], out, VOICES, renamed)
    assert not refused
    return jobs


MADE = {"bass": {"voice": "v", "seed": 0}}


class TestPlan:
    def test_the_longest_songs_come_first_and_what_is_there_is_left(self, songs: Place, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        jobs = jobs_of(songs, out)
        assert sorted(job.source for job in jobs) == ["a/one.wav", "a/two.wav", "broken.wav", "three.wav"]
        plan = catalogue.plan(jobs, out, MADE, force=False)
        assert [job.source for job in plan.todo] == ["three.wav", "a/two.wav", "a/one.wav", "broken.wav"]
        out.write("a/two.bass.wav", b"made by an interrupted call")
        plan = catalogue.plan(jobs, out, MADE, force=False)
        assert [job.source for job in plan.todo] == ["three.wav", "a/one.wav", "broken.wav"] and plan.n_done == 1

    def test_results_of_nobody_knows_what_are_not_taken_for_ours(self, songs: Place, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        out.write("three.bass.wav", b"somebody's")
        with pytest.raises(UserError, match=r"three.bass.wav: exists already, and no catalogue.json says"):
            catalogue.plan(jobs_of(songs, out), out, MADE, force=False)
        assert out.read("three.bass.wav") == b"somebody's"

    def test_results_of_another_way_are_refused_and_replaced_by_force(self, songs: Place, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        jobs = jobs_of(songs, out)
        catalogue.plan(jobs, out, MADE, force=False)
        out.write("three.bass.wav", b"of seed 0")
        other = {"bass": {"voice": "v", "seed": 1}}
        with pytest.raises(UserError, match=r"holds results of bass that were made otherwise \(differs in seed\)"):
            catalogue.plan(jobs, out, other, force=False)
        assert len(catalogue.plan(jobs, out, other, force=True).todo) == 4
        assert out.read("three.bass.wav") is None  # else a call that goes on would take it for one of seed 1
        assert json.loads(out.read("catalogue.json") or b"")["voices"] == other

    def test_another_voice_beside_the_first_is_welcome(self, songs: Place, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        jobs = jobs_of(songs, out)
        catalogue.plan(jobs, out, MADE, force=False)
        catalogue.plan(jobs, out, {"tenor": {"voice": "v", "seed": 0}}, force=False)
        assert sorted(json.loads(out.read("catalogue.json") or b"")["voices"]) == ["bass", "tenor"]

    def test_results_within_the_songs_folder_are_no_songs(self, songs: Place) -> None:
        out = Place.of(f"{songs.root}/out")
        out.write("three.bass.wav", b"")
        Place(songs.root).write("a/one.bass.wav", b"")  # of a call without -o
        assert len(jobs_of(songs, out)) == 4

    def test_a_second_song_of_the_same_result_is_refused(self, songs: Place, tmp_path: Path) -> None:
        songs.write("three.flac", b"")
        jobs, refused = catalogue.jobs_for(
            [songs], Place.of(tmp_path), VOICES, lambda name, label: f"{name.with_suffix('')}.{label}.flac"
        )
        assert len(jobs) == 4 and "three.bass.flac" not in [job.result for job in jobs[1:] if job.source == "three.wav"]
        ((where, why),) = refused
        assert where.endswith("three.wav") and "its result would be written where that of" in why

    def test_a_place_without_songs_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no sound file there; known suffixes are"):
            catalogue.jobs_for([Place.of(tmp_path)], Place.of(tmp_path / "out"), VOICES, renamed)

    def test_a_damaged_record_is_not_guessed_at(self, songs: Place, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        out.write("catalogue.json", b"{")
        with pytest.raises(UserError, match=r"catalogue\.json: cannot be read"):
            catalogue.plan(jobs_of(songs, out), out, MADE, force=False)


class TestConvert:
    @pytest.mark.parametrize("kind", ["folder", "store"])
    def test_a_catalogue_has_the_bytes_of_single_songs(
        self, songs: Place, model: bytes, tmp_path: Path, kind: str
    ) -> None:
        out = Place.of(tmp_path / "out" if kind == "folder" else f"memory://{tmp_path.name}")
        jobs = jobs_of(songs, out)
        kit = Kit(model, "cpu", out, HERE)
        found = {job.source: outcome for job, outcome in catalogue.convert(ThreadPool(2), kit, jobs)}
        failed = found.pop("broken.wav")
        assert isinstance(failed, UserError) and songs.where("broken.wav") in str(failed)
        voice = load(tmp_path / "voice.safetensors")
        for name, report in found.items():
            alone = tmp_path / "alone.wav"
            assert voice.convert_file(Path(songs.where(name)), alone, singer="bass", options=HERE) == report
            assert out.read(name.replace(".wav", ".bass.wav")) == alone.read_bytes()
        assert sorted(out.listing().n_bytes) == ["a/one.bass.wav", "a/two.bass.wav", "three.bass.wav"]

    def test_songs_behind_a_url_are_fetched_and_named_by_it(self, model: bytes, tmp_path: Path) -> None:
        songs, out = Place.of(f"memory://{tmp_path.name}-songs"), Place.of(tmp_path / "out")
        soundfile.write(tmp_path / "x.wav", vowel(seconds=0.3), RATE)
        songs.write("x.wav", (tmp_path / "x.wav").read_bytes())
        songs.write("y.wav", b"no sound")
        jobs = [*jobs_of(songs, out), Job(songs, "gone.wav", (("bass", 1.0),), "gone.bass.wav")]
        kit = Kit(model, "cpu", out, HERE)
        found = {job.source: outcome for job, outcome in catalogue.convert(ThreadPool(1), kit, jobs, together=3)}
        assert not isinstance(found["x.wav"], UserError)
        assert str(found["y.wav"]).startswith(f"{songs.root}/y.wav: ")
        assert str(found["gone.wav"]).startswith(f"{songs.root}/gone.wav: no such file")

    def test_songs_whose_worker_died_are_tried_one_by_one(self, songs: Place, model: bytes, tmp_path: Path) -> None:
        out = Place.of(tmp_path / "out")
        jobs = jobs_of(songs, out)

        class Mortal(ThreadPool):
            """Two tasks at once are too much for it, and so is one song."""

            def each(self, kit: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
                work = kit()
                for number, task in enumerate(tasks):
                    is_deadly = len(task) > 1 or task[0].source == "three.wav"
                    yield number, Lost("its worker died, 3 times") if is_deadly else work(task)

        found = dict(
            (job.source, outcome)
            for job, outcome in catalogue.convert(Mortal(), Kit(model, "cpu", out, HERE), jobs, together=2)
        )
        assert str(found["three.wav"]).endswith("three.wav: given up: its worker died, 3 times")
        assert [isinstance(found[name], UserError) for name in ("a/one.wav", "a/two.wav")] == [False, False]
        assert len(found) == 4

    def test_a_folder_that_a_worker_does_not_see_is_told(self, model: bytes, tmp_path: Path) -> None:
        kit = Kit(model, "cpu", Place.of(tmp_path), HERE, (str(tmp_path / "elsewhere"),))
        with pytest.raises(UserError, match="elsewhere: no such folder on a worker's machine; give a folder that all"):
            kit()

    def test_files_by_a_pool_are_those_of_the_voice(self, songs: Place, model: bytes, tmp_path: Path) -> None:
        by_pool = catalogue.files_by(ThreadPool(2), model, "cpu", [tmp_path])
        sources = [Path(songs.where(name)) for name in ("a/one.wav", "three.wav")]
        files = [SongFile(path, tmp_path / f"{i}.wav", "tenor", transpose=2.0) for i, path in enumerate(sources)]
        shares: list[tuple[int, float]] = []
        found = dict(by_pool(files, options=HERE, progress=lambda now: shares.append((now.number, now.share))))
        voice = load(tmp_path / "voice.safetensors")
        again = [dataclasses.replace(file, destination=tmp_path / f"again-{file.destination.name}") for file in files]
        expected = dict(voice.convert_files(again, options=HERE))
        for number, file in enumerate(files):
            outcome = expected[number]
            assert not isinstance(outcome, UserError) and outcome.transpose_semitones == 2.0
            assert found[number] == outcome
            np.testing.assert_array_equal(
                soundfile.read(file.destination)[0], soundfile.read(again[number].destination)[0]
            )
        assert sorted(shares) == [(0, 1.0), (1, 1.0)]
