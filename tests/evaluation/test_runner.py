"""A whole evaluation: controls have the figures they must have, and an interrupted one goes on."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from moksori.audio import files, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchRange
from moksori.audio.spectral import SpectralConfig
from moksori.checkpoint import Provenance
from moksori.conversion import Voice
from moksori.data.corpus import Corpus
from moksori.errors import DataError, UserError
from moksori.evaluation import conversions, runner
from moksori.evaluation.conversions import Options
from moksori.evaluation.judges import distill_mos, whisper
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.whisper import Encoding
from moksori.evaluation.measures import mel_cepstrum
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as report
from moksori.evaluation.report import gather, pages
from moksori.evaluation.report.data import Item, Report
from moksori.evaluation.report.gather import Origin
from moksori.generation import generator
from moksori.language import Words
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter_model import SourceFilterModel
from moksori.progress import Progress, ignored
from moksori.training.recipe import Recipe

ORIGIN = Origin("moksori evaluate", "2026-01-02", "moksori 0")


@pytest.fixture(scope="module", autouse=True)
def quick_judges() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(singer_judge, "_N_STEPS", 150)
        patch.setattr(singer_judge, "_N_CLIPS", 12)
        patch.setattr(recogniser, "_N_STEPS", 250)
        patch.setattr(recogniser, "_N_CLIPS", 8)
        yield


@pytest.fixture(scope="module")
def corpus(sung: tuple[Corpus, dict[str, str]]) -> Corpus:
    return sung[0]


@pytest.fixture(scope="module")
def texts(sung: tuple[Corpus, dict[str, str]]) -> Texts:
    return Texts(sung[1])


def _voice(corpus: Corpus, tiny_recipe: Recipe) -> Voice:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(dataclasses.replace(tiny_recipe.model, sample_rate=1000), corpus.singers)
    return Voice(model, Provenance(data_fingerprint=corpus.fingerprint))


@pytest.fixture
def voice(corpus: Corpus, tiny_recipe: Recipe) -> Voice:
    """A voice that samples codes, always the same."""
    return _voice(corpus, tiny_recipe)


def _mean(judged: Report, row: str, metric: str) -> float:
    found = judged.row(row)
    assert found is not None
    return found.figures[metric].mean


class TestAVoiceThatIsToldThePitch:
    @pytest.fixture(scope="class")
    def judged(self, corpus: Corpus, tiny_swift_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Report:
        torch.set_num_threads(1)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = SourceFilterModel(tiny_swift_recipe.model, corpus.singers)  # type: ignore[arg-type]
        torch.nn.init.constant_(model.decoder.last.bias, -3.0)  # type: ignore[arg-type]
        low = PitchRange(60.0, 70.0, 80.0)
        voice = Voice(model, Provenance(data_fingerprint=corpus.fingerprint, ranges={corpus.singers[0]: low}))
        folder = tmp_path_factory.mktemp("of-features")
        return runner.evaluate_voice(voice, corpus, folder, ORIGIN, ignored, options=Options(per_singer=1))

    def test_it_is_asked_for_the_melody_where_its_target_sings(self, judged: Report, corpus: Corpus) -> None:
        moved = {
            (i.source_singer, i.target_singer): i.transpose_semitones for i in judged.items if i.row == "conversion"
        }
        first = corpus.singers[0]
        assert all(semitones < 0 and semitones % 12 == 0 for (_, to), semitones in moved.items() if to == first)
        assert all(semitones == 0 for (_, to), semitones in moved.items() if to != first)
        assert _mean(judged, report.CONVERSION, "raw_pitch_accuracy") > 0.5  # an untrained net: but the pitch is told

    def test_what_is_not_converted_is_not_moved(self, judged: Report) -> None:
        assert _mean(judged, report.COPY_SYNTHESIS, "raw_pitch_accuracy") == pytest.approx(1.0, abs=0.02)

    def test_reconstructions_stay_and_the_notes_say_how(self, judged: Report) -> None:
        assert all(i.transpose_semitones == 0 for i in judged.items if i.row == "reconstruction")
        assert any("by whole octaves" in note for note in judged.notes)
        by_its_own_tracker = any("agrees with its own mistakes" in note for note in judged.notes)
        assert by_its_own_tracker == (importlib.util.find_spec("librosa") is None)

    def test_it_has_no_backend_and_is_asked_for_none(
        self, judged: Report, corpus: Corpus, tiny_swift: SourceFilterModel, tmp_path: Path
    ) -> None:
        assert judged.model["backend"] == ""
        assert not any("backend" in note for note in judged.notes)
        voice = Voice(SourceFilterModel(tiny_swift.config, corpus.singers), Provenance())
        with pytest.raises(UserError, match="samples no codes"):
            runner.evaluate_voice(
                voice, corpus, tmp_path / "other", ORIGIN, ignored, options=Options(backend="float32")
            )


class _Reader:
    """Stands for Whisper: frames are cepstra, and the text tells how loud the clip is, in letters."""

    name, description, is_multilingual = "reader", "a reader for tests", True

    def __init__(self) -> None:
        self.judged: list[str] = []

    def encode(self, clip: Clip, late_seconds: float = 0.0) -> Encoding:
        frames = spectral.log_mel(torch.from_numpy(resample.resample_clip(clip, 16000).samples), _FIFTY_A_SECOND)
        loudness = round(float(np.sqrt(np.square(clip.samples).mean())) * 1000)
        return Encoding((loudness,), frames.T.numpy(), np.ones(frames.shape[1], np.bool_), (clip.seconds,))

    def language(self, encoding: Encoding) -> str:
        return "ko"

    def text(self, encoding: Encoding, language: str) -> str:
        self.judged.append(language)
        return f"sung {'a' * min(40, encoding.pieces[0])}"


_FIFTY_A_SECOND = SpectralConfig(sample_rate=16000, window_samples=512, hop_samples=320, n_mels=40)


class TestWords:
    @pytest.fixture
    def reader(self, monkeypatch: pytest.MonkeyPatch) -> _Reader:
        reader = _Reader()
        monkeypatch.setattr(whisper, "load", lambda which, language: reader)
        monkeypatch.setattr(distill_mos, "load", lambda: distill_mos.DistillMos(lambda sound: torch.tensor([3.5])))
        return reader

    @pytest.fixture
    def songs(self, corpus: Corpus, tmp_path: Path) -> Path:
        folder = tmp_path / "songs"
        folder.mkdir()
        clip = files.read(corpus.clip_path(corpus.of("test", "a")[0]))
        files.write(folder / "one.flac", clip)
        files.write(folder / "two.flac", clip)
        (folder / "two.txt").write_text("엉뚱한 노랫말", encoding="utf-8")
        return folder

    def test_words_are_read_beside_their_controls(
        self, voice: Voice, corpus: Corpus, reader: _Reader, songs: Path, tmp_path: Path
    ) -> None:
        options = Options(per_singer=1, whisper="auto")
        judged = runner.evaluate_voice(voice, corpus, tmp_path / "out", ORIGIN, ignored, options=options, songs=songs)
        assert _mean(judged, report.COPY, "character_error_rate") == 0.0
        assert _mean(judged, report.COPY, "content_kept") > 0.9
        assert _mean(judged, report.MOVED, "character_error_rate") == pytest.approx(0.0, abs=0.05)  # moved by nothing
        assert _mean(judged, report.MOVED, "leak") >= 0.9
        assert _mean(judged, report.CONVERSION, "content_kept") < 0.5  # an untrained net
        assert _mean(judged, report.TRUTH, "distill_mos") == _mean(judged, report.CONVERSION, "distill_mos") == 3.5
        assert set(reader.judged) == {"ko"}  # found in the source, told for its conversions
        frames = [item for item in judged.items if item.row == report.FRAMES_STRANGERS]
        assert {item.target_singer for item in frames} == set(corpus.singers)
        assert all("content_kept" in item.scores for item in frames)
        by_song = {
            (item.row, item.recording): item.scores["character_error_rate"]
            for item in judged.items
            if item.row == report.MOVED_STRANGERS
        }
        assert by_song[report.MOVED_STRANGERS, "one.flac"] == pytest.approx(0.0, abs=0.05)
        assert by_song[report.MOVED_STRANGERS, "two.flac"] == 1.0  # against the lyrics beside it
        strangers = [item for item in judged.items if item.row == report.STRANGERS]
        assert {(item.recording, item.target_singer) for item in strangers} == {
            (song, singer) for song in ("one.flac", "two.flac") for singer in corpus.singers
        }
        assert all("leak" not in item.scores and item.texts["source"].startswith("sung") for item in strangers)
        assert any("a reader for tests, which found out the language itself" in note for note in judged.notes)
        assert report.load(report.save(judged, tmp_path)) == judged

    def test_who_is_missing_is_said_with_the_reason(
        self, voice: Voice, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        panel = runner.gather_judges(corpus, Texts({}), Options(whisper="auto", tracker="swift-f0"), ignored)
        assert panel.transcriber is None and panel.rater is None
        assert [line.split(" is not installed")[0] for line in panel.missing] == [
            "Whisper's engine, ctranslate2,",
            "DistillMOS",
        ]
        assert not runner.gather_judges(
            corpus, Texts({}), Options(tracker="swift-f0"), ignored
        ).missing  # not asked for


class TestAModel:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Where the report lies that all tests of the class read; who goes on with it takes a copy."""
        return tmp_path_factory.mktemp("of-codes")

    @pytest.fixture(scope="class")
    def judged(self, corpus: Corpus, texts: Texts, tiny_recipe: Recipe, folder: Path) -> Report:
        torch.set_num_threads(1)
        voice, options = _voice(corpus, tiny_recipe), Options(per_singer=1)
        return runner.evaluate_voice(voice, corpus, folder, ORIGIN, ignored, options=options, texts=texts)

    @pytest.fixture
    def copied(self, judged: Report, folder: Path, tmp_path: Path) -> Path:
        """A copy of the report's folder, with the times of its files."""
        return shutil.copytree(folder, tmp_path / "copy")

    def test_controls_have_the_figures_they_must_have(self, judged: Report) -> None:
        assert _mean(judged, report.COPY, "identified") <= 0.1
        assert _mean(judged, report.COPY, "leak") >= 0.9
        assert _mean(judged, report.COPY, "raw_pitch_accuracy") == 1.0
        assert _mean(judged, report.COPY, "source_frame_distance_db") == pytest.approx(0.0, abs=1e-6)
        assert _mean(judged, report.COPY, "movement_mid") == 1.0
        assert _mean(judged, report.COPY, "hoarse_per_minute") == 0.0
        assert not [name for name in judged.rows[0].figures if name.startswith("harmonic_error")]  # into another singer
        assert _mean(judged, report.SWAPPED, "identified") >= 0.9
        assert _mean(judged, report.SWAPPED, "leak") <= 0.1
        assert _mean(judged, report.TRUTH, "identified") >= 0.9
        assert _mean(judged, report.CHANCE, "identified") == 0.5
        assert judged.judges[0].real_accuracy is not None
        assert judged.judges[0].real_accuracy.mean == _mean(judged, report.TRUTH, "identified")

    def test_an_untrained_model_keeps_no_melody(self, judged: Report) -> None:
        assert _mean(judged, report.CONVERSION, "raw_pitch_accuracy") < 0.3

    def test_every_pair_is_there_with_its_sounds(self, judged: Report, folder: Path) -> None:
        made = [item for item in judged.items if item.row in (report.CONVERSION, report.RECONSTRUCTION)]
        assert {(item.source_singer, item.target_singer) for item in made} == {(a, b) for a in "ab" for b in "ab"}
        for item in made:
            assert set(item.files) == {"source", "conversion", "target"}
            source, conversion = (files.read(folder / item.files[kind]) for kind in ("source", "conversion"))
            assert source.n_samples == conversion.n_samples
        assert sum(map(sum, judged.confusion["own"])) == 2

    def test_the_model_is_described(self, judged: Report) -> None:
        assert judged.model["sample_rate"] == 1000
        assert any("The model saw none of them" in note for note in judged.notes)
        assert "Inside the model, on held-out recordings" in judged.tables
        assert judged.verdict

    def test_the_backend_is_a_choice_and_told(self, judged: Report, voice: Voice, corpus: Corpus, copied: Path) -> None:
        usual = voice.backend_name()
        assert usual in generator.BACKENDS
        assert judged.model["backend"] == usual and any(f"backend {usual}." in note for note in judged.notes)
        made = {path: path.stat().st_mtime_ns for path in (copied / "audio").glob("*-to-*.flac")}
        options = Options(per_singer=1, backend="reference")
        other = runner.evaluate_voice(voice, corpus, copied, ORIGIN, ignored, options=options)
        assert other.model["backend"] == "reference" and any("backend reference." in note for note in other.notes)
        assert all(path.stat().st_mtime_ns != time for path, time in made.items())

    def test_a_backend_that_cannot_be_had_is_refused_before_any_work(
        self, voice: Voice, corpus: Corpus, tmp_path: Path
    ) -> None:
        for name, said in (("abacus", "known backends are auto, float32"), ("int8", "largest input of 0 layers")):
            with pytest.raises(UserError, match=said):
                runner.evaluate_voice(voice, corpus, tmp_path, ORIGIN, ignored, options=Options(backend=name))
        assert not list(tmp_path.iterdir())

    def test_conversions_are_kept_for_the_same_voice_only(
        self, judged: Report, voice: Voice, corpus: Corpus, texts: Texts, copied: Path
    ) -> None:
        made = {
            path: path.stat().st_mtime_ns
            for path in (copied / "audio").glob("*-to-*.flac")
            if not path.name.startswith("back-")
        }
        options = Options(per_singer=1)
        again = runner.evaluate_voice(voice, corpus, copied, ORIGIN, ignored, options=options, texts=texts)
        assert {path: path.stat().st_mtime_ns for path in made} == made
        assert again == judged
        with torch.no_grad():
            voice.model.singers.table.weight += 1.0
        runner.evaluate_voice(voice, corpus, copied, ORIGIN, ignored, options=options, texts=texts)
        assert all(path.stat().st_mtime_ns != time for path, time in made.items())


def test_one_singer_is_judged_by_songs_without_a_judge_of_singers(
    corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = tuple(recording for recording in corpus.recordings if recording.singer == "a")
    alone = dataclasses.replace(corpus, singers=("a",), recordings=recordings)
    song = corpus.clip_path(corpus.of("test", "b")[0])
    monkeypatch.setattr(singer_judge, "load_or_fit", None)  # nobody is to be taught
    options = Options(per_singer=1, whisper=conversions.NOBODY)
    judged = runner.evaluate_voice(
        _voice(alone, tiny_recipe), alone, tmp_path / "report", ORIGIN, ignored, options=options, songs=song
    )
    assert judged.judges == [] and judged.singers[0].name == "a" and len(judged.singers) == 1
    strangers, chance = judged.row(report.STRANGERS), judged.row(report.CHANCE)
    assert strangers is not None and strangers.n == 1 and "raw_pitch_accuracy" in strangers.figures
    assert chance is not None and chance.figures == {}
    page, markdown = pages.write(judged, tmp_path / "report", n_players=2, say=Words("ko"))
    assert "가수가 한 명뿐이라" in page.read_text(encoding="utf-8")
    assert "there is one singer" in pages.verdict_in(judged, Words("en"))[0] and markdown.exists()


def test_another_model_or_other_data_are_noticed(
    voice: Voice, corpus: Corpus, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    stranger = Voice(Autoencoder(tiny_recipe.model, ["x", "y"]), Provenance())
    with pytest.raises(DataError, match="the model knows x, y"):
        runner.evaluate_voice(stranger, corpus, tmp_path, ORIGIN, ignored)
    elsewhere = Voice(voice.model, Provenance(data_fingerprint="another"))
    judged = runner.evaluate_voice(
        elsewhere, corpus, tmp_path, ORIGIN, ignored, options=Options(per_singer=1, cycles=0)
    )
    assert any("CAUTION" in note for note in judged.notes)
    assert any("Vowels were not judged" in note for note in judged.notes)


class TestOthers:
    def _table(self, folder: Path, corpus: Corpus, conversion_of: str) -> None:
        """Copies of the sources, or recordings of the targets, as somebody else's conversions."""
        lines = ["conversion,source,target"]
        for recording in corpus.of("test"):
            for target in corpus.singers:
                if target != recording.singer:
                    real = recording if conversion_of == "source" else corpus.of("test", target)[0]
                    name = f"{len(lines)}.wav"
                    files.write(folder / name, resample.resample_clip(files.read(corpus.clip_path(real)), 24000))
                    lines.append(f"{name},{recording.source},{target}")
        (folder / "table.csv").write_text("\n".join([*lines, "gone.wav,a/1.wav,a"]) + "\n", encoding="utf-8")

    @pytest.mark.parametrize(("kind", "identified", "melody"), [("source", 0.0, 1.0), ("target", 1.0, None)])
    def test_copies_and_swapped_recordings_get_what_they_deserve(
        self, corpus: Corpus, tmp_path: Path, kind: str, identified: float, melody: float | None
    ) -> None:
        given = tmp_path / "given"
        given.mkdir()
        self._table(given, corpus, kind)
        judged = runner.evaluate_conversions(given, corpus, tmp_path / "report", ORIGIN, ignored)
        assert _mean(judged, report.CONVERSION, "identified") == pytest.approx(identified, abs=0.1)
        assert _mean(judged, report.CONVERSION, "leak") == pytest.approx(1.0 - identified, abs=0.1)
        if melody is not None:
            assert _mean(judged, report.CONVERSION, "raw_pitch_accuracy") == pytest.approx(melody, abs=0.02)
        assert any("gone.wav is not there" in note for note in judged.notes)
        assert judged.model == {}

    def test_a_conversion_that_is_no_sound_is_left_out_and_named(self, corpus: Corpus, tmp_path: Path) -> None:
        given = tmp_path / "given"
        given.mkdir()
        self._table(given, corpus, "source")
        (given / "1.wav").write_text("no sound", encoding="utf-8")
        judged = runner.evaluate_conversions(given, corpus, tmp_path / "report", ORIGIN, ignored)
        n_pairs = len(corpus.of("test"))
        found = judged.row(report.CONVERSION)
        assert found is not None
        assert found.n == n_pairs - 1
        assert any("1.wav" in note and note.startswith("Left out") for note in judged.notes)

    def test_a_source_or_a_real_recording_that_is_no_sound_costs_its_pairs_and_nothing_else(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        # It once ended in KeyError, after the long work, where the controls looked the source up again.
        given = tmp_path / "given"
        given.mkdir()
        self._table(given, corpus, "source")
        (given / "mute.wav").write_text("no sound", encoding="utf-8")
        copy = tmp_path / "data"
        shutil.copytree(corpus.folder, copy)
        damaged = corpus.of("test")[0]
        (copy / corpus.clip_path(damaged).relative_to(corpus.folder)).write_text("no sound", encoding="utf-8")
        first = corpus.singers[0]
        with open(given / "table.csv", "a", encoding="utf-8") as table:
            table.write(f"2.wav,mute.wav,{first}\n")
        judged = runner.evaluate_conversions(given, Corpus.load(copy), tmp_path / "report", ORIGIN, ignored)
        found, copies = judged.row(report.CONVERSION), judged.row(report.COPY)
        assert found is not None and copies is not None
        assert found.n == copies.n == len(corpus.of("test")) - 1
        assert sum("mute.wav" in note and note.startswith("Left out") for note in judged.notes) == 1
        assert all(item.recording != damaged.source for item in judged.items)

    def test_where_nothing_can_be_read_it_is_said(self, corpus: Corpus, tmp_path: Path) -> None:
        given = tmp_path / "given"
        given.mkdir()
        (given / "mute.wav").write_text("no sound", encoding="utf-8")
        (given / "table.csv").write_text(f"conversion,source,target\nmute.wav,mute.wav,{corpus.singers[0]}\n", "utf-8")
        with pytest.raises(DataError, match=r"no pair can be read; the first: .*mute\.wav"):
            runner.evaluate_conversions(given, corpus, tmp_path / "report", ORIGIN, ignored)


def test_what_has_the_timing_of_its_source_is_never_aligned(
    voice: Voice, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each source was once aligned with itself for every target, and every clip with its source.
    analysed: list[int] = []
    analyse = mel_cepstrum.analyse
    monkeypatch.setattr(mel_cepstrum, "analyse", lambda clip: analysed.append(clip.n_samples) or analyse(clip))
    monkeypatch.setattr(mel_cepstrum, "align", None)
    judged = runner.evaluate_voice(voice, corpus, tmp_path, ORIGIN, ignored, options=Options(per_singer=1, cycles=0))
    n_conversions, n_sources = len(corpus.singers) ** 2, len(corpus.singers)
    # Real recordings, conversions, and each source's copy-synthesis and its sound moved in pitch only.
    assert len(analysed) == len(corpus.of("test")) + n_conversions + 2 * n_sources
    assert _mean(judged, report.SWAPPED, "source_frame_distance_db") > 1.0


def test_files_of_others_are_never_thrown_away(voice: Voice, corpus: Corpus, tmp_path: Path) -> None:
    mine = tmp_path / "audio" / "my song.flac"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="no evaluation made"):
        runner.evaluate_voice(voice, corpus, tmp_path, ORIGIN, ignored, options=Options(per_singer=1))
    with pytest.raises(DataError, match="no evaluation made"):
        conversions.begin(mine.parent, {})
    assert mine.read_bytes() == b"mine"


def test_sounds_of_an_earlier_evaluation_make_room_and_nothing_else_does(tmp_path: Path) -> None:
    """Whatever ended in .flac was once thrown away."""
    conversions.begin(tmp_path, {"voice": "a"})
    with conversions.own_sounds(tmp_path, ["1.flac", "changed.flac"]):
        (tmp_path / "1.flac").write_bytes(b"old")
        (tmp_path / "changed.flac").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), conversions.own_sounds(tmp_path, ["killed.flac"]):
        (tmp_path / "killed.flac").write_bytes(b"old")
        raise KeyboardInterrupt
    (tmp_path / "mine.flac").write_bytes(b"mine")
    (tmp_path / "changed.flac").write_bytes(b"mine, too")
    assert conversions.claim(tmp_path) == {"voice": "a"}
    conversions.begin(tmp_path, {"voice": "b"})
    assert sorted(path.name for path in tmp_path.glob("*.flac")) == ["changed.flac", "mine.flac"]
    assert conversions.claim(tmp_path) == {"voice": "b"}
    for name in ("mine.flac", "changed.flac"):
        with pytest.raises(DataError, match=f"{name}: no evaluation made it"), conversions.own_sounds(tmp_path, [name]):
            pass


def test_rows_are_means_over_clips_with_chance_last() -> None:
    items = [
        Item(str(number), report.CONVERSION, f"r{number}", "a", "b", 0.0, {"identified": score}, {})
        for number, score in enumerate((0.0, 1.0, 1.0, 1.0))
    ]
    rows = gather.rows(items, n_singers=4, seed=0)
    assert [row.name for row in rows] == [report.CONVERSION, report.CHANCE]
    assert rows[0].figures["identified"].mean == 0.75
    assert rows[1].figures == dict.fromkeys(("identified", "leak"), Figure(0.25, 0.25, 0.25, 0))
    items[0].scores["identified_public"] = 1.0
    assert gather.rows(items, n_singers=4, seed=0)[1].figures["identified_public"] == Figure(0.25, 0.25, 0.25, 0)


def test_an_interrupted_conversion_leaves_what_is_done(
    voice: Voice, corpus: Corpus, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moksori.evaluation import pairs

    chosen = pairs.held_out(corpus, "test", 1, tmp_path, texts)
    monkeypatch.setattr(generator, "lockstep_streams", lambda backend: 1)  # one after another

    def stop(progress: Progress) -> None:
        if progress.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversions.convert(voice, chosen, tmp_path, Options(), stop)
    left = [pair for pair in chosen if not pair.conversion.exists()]
    assert 0 < len(left) < len(chosen)
    judged: list[Progress] = []
    conversions.convert(voice, chosen, tmp_path, Options(), judged.append)
    assert judged[0].done >= len(chosen) - len(left)  # those that were there count
    assert judged[-1].done == pytest.approx(len(chosen)) and {progress.total for progress in judged} == {len(chosen)}
    whole = tmp_path / "whole"
    again = [dataclasses.replace(trial, conversion=whole / trial.conversion.name) for trial in chosen]
    conversions.convert(voice, again, whole, Options(), ignored)
    for trial, other in zip(chosen, again, strict=True):
        np.testing.assert_array_equal(files.read(trial.conversion).samples, files.read(other.conversion).samples)


@pytest.mark.parametrize(("n_singers", "fast", "slow"), [(1, 60, 3), (2, 30, 3), (3, 10, 3), (4, 5, 3), (8, 3, 3)])
def test_more_is_judged_where_singers_are_few_and_the_voice_is_fast(n_singers: int, fast: int, slow: int) -> None:
    """Once two singers were judged by five conversions, though twenty recordings were held out."""
    corpus = SimpleNamespace(singers=("x",) * n_singers)
    judged, codes = (SimpleNamespace(is_pitch_conditioned=is_told) for is_told in (True, False))
    assert runner._usual_clips(judged, corpus) == fast  # type: ignore[arg-type]
    assert runner._usual_clips(codes, corpus) == slow  # type: ignore[arg-type]
