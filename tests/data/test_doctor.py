import dataclasses
from typing import Any

import pytest

from moksori.cli import prepare
from moksori.data import doctor
from moksori.data.corpus import SAME_SOUND, Corpus, Recording, Skipped
from moksori.language import ENGLISH


@pytest.fixture
def healthy(corpus: Corpus) -> Corpus:
    """Alto and bass, four recordings each, long, clean and wide."""
    return with_all(dataclasses.replace(corpus, singers=("alto", "bass"), recordings=of(corpus, "alto", "bass")))


def of(corpus: Corpus, *singers: str) -> tuple[Recording, ...]:
    return tuple(recording for recording in corpus.recordings if recording.singer in singers)


def with_all(corpus: Corpus, singer: str | None = None, **changes: Any) -> Corpus:
    good: dict[str, Any] = {
        "seconds": 400.0,
        "sung_seconds": 360.0,
        "noise_dbfs": -70.0,
        "clipped_fraction": 0.0,
        "gain_db": 0.0,
    }
    good |= {"f0_low_hz": 220.0, "f0_median_hz": 300.0, "f0_high_hz": 440.0, "notes": ()}
    good = changes if singer else good
    rows = [dataclasses.replace(r, **good) if singer in (None, r.singer) else r for r in corpus.recordings]
    return dataclasses.replace(corpus, recordings=tuple(rows))


def alto(corpus: Corpus) -> doctor.SingerHealth:
    return doctor.examine(corpus)[0]


def test_a_healthy_corpus_needs_no_advice(healthy: Corpus) -> None:
    found = alto(healthy)
    assert (found.singer, found.verdict, found.advice) == ("alto", "good", ())
    assert found.range_notes == "A3 to A4"
    assert found.minutes == pytest.approx(4 * 400 / 60)
    assert found.training_minutes == pytest.approx(found.n_recordings["train"] * 6)
    assert doctor.general_advice(healthy) == []


@pytest.mark.parametrize(
    ("changes", "message", "verdict"),
    [
        ({"sung_seconds": 60.0}, "minutes of singing to train on", "fair"),
        ({"sung_seconds": 1.0}, "minutes of singing to train on", "poor"),
        ({"clipped_fraction": 0.002}, "0.20% of the samples are clipped", "fair"),
        ({"noise_dbfs": -40.0}, "pauses are at -40 dBFS", "fair"),
        ({"f0_median_hz": 230.0, "f0_high_hz": 250.0}, "stays within A3 to B3", "fair"),
        ({"f0_low_hz": None, "f0_median_hz": None, "f0_high_hz": None}, "No voiced sound", "fair"),
        ({"split": "train"}, "Not every split has a recording", "fair"),
    ],
)
def test_each_complaint_is_found(healthy: Corpus, changes: dict[str, Any], message: str, verdict: str) -> None:
    found = alto(with_all(healthy, "alto", **changes))
    assert any(message in advice for advice in found.advice)
    assert found.verdict == verdict
    assert doctor.examine(with_all(healthy, "alto", **changes))[1].advice == ()


def test_a_recording_without_pauses_does_not_make_a_singer_noisy(healthy: Corpus) -> None:
    first, *others = healthy.recordings
    loud = dataclasses.replace(healthy, recordings=(dataclasses.replace(first, noise_dbfs=-25.0), *others))
    assert alto(loud).verdict == "good"


def test_odd_recordings_are_named(healthy: Corpus) -> None:
    first, *others = healthy.recordings
    odd = dataclasses.replace(first, gain_db=30.0, f0_low_hz=None, f0_median_hz=None, f0_high_hz=None)
    advice = alto(dataclasses.replace(healthy, recordings=(odd, *others))).advice
    assert len(advice) == 2
    assert all(first.source in line for line in advice)


def test_one_singer_alone_is_told_to_find_company(healthy: Corpus) -> None:
    alone = dataclasses.replace(healthy, singers=("alto",), recordings=of(healthy, "alto"))
    assert any("only one singer" in advice for advice in doctor.general_advice(alone))
    # Who is added to a voice is one singer, too, and was told to bring a second one.
    assert not doctor.general_advice(alone, for_training=False)


def test_uneven_singers_are_named(healthy: Corpus) -> None:
    (advice,) = doctor.general_advice(with_all(healthy, "bass", sung_seconds=10.0))
    assert "Add recordings of bass" in advice


def test_the_same_sound_under_two_singers_is_a_warning(healthy: Corpus) -> None:
    doubles = (Skipped("alto/b.wav", f"{SAME_SOUND} alto/a.wav"), Skipped("bass/c.wav", f"{SAME_SOUND} alto/a.wav"))
    doubled = dataclasses.replace(healthy, skipped=doubles)
    (advice,) = doctor.general_advice(doubled)
    assert "bass/c.wav is the same sound as alto/a.wav, of another singer" in advice
    assert [found.n_doubles for found in doctor.examine(doubled)] == [1, 1]


def test_a_folder_that_was_copied_into_itself_is_guessed_in_a_line_a_singer(healthy: Corpus) -> None:
    """`takes/takes` once brought 117 warnings of two lines, twice."""
    doubles = [
        Skipped(f"takes/{name}/{n}.wav", f"{SAME_SOUND} {name}/{n}.wav") for name in ("alto", "bass") for n in range(50)
    ]
    doubled = dataclasses.replace(healthy, skipped=tuple(doubles))
    assert doctor.general_advice(doubled) == [
        f"takes/ holds copies of 50 recordings of {name}, such as takes/{name}/0.wav: by mistake? "
        "Take one of the two folders away."
        for name in ("alto", "bass")
    ]
    lines = prepare._grouped(doubled.skipped, ENGLISH)
    assert len(lines) == 8 and lines[3] == "takes/alto/: 47 more are doubles, too"


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        (((250, 4000), (305, 4000)), "sung on D3, C#4"),
        (((250, 9000), (251, 500), (305, 500)), "sung on D3"),
        (((250, 3000), (280, 3000), (305, 3000)), ""),  # three notes, none of which can be left out
        ((), ""),  # prepared before notes were kept
    ],
)
def test_takes_of_one_or_two_notes_are_told_whatever_their_range(
    healthy: Corpus, notes: tuple[tuple[int, int], ...], told: str
) -> None:
    # Such a voice was heard in a third of the songs, and nobody had told the singer.
    advice = " ".join(alto(with_all(healthy, "alto", notes=notes)).advice)
    assert told in advice and ("tells little of a voice" in advice) == bool(told)
