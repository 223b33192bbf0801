"""The verdict says what the figures say, and no more."""

from __future__ import annotations

import pytest

from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report import verdict
from moksori.evaluation.report.data import Item, Judge, Row, SingerData

SINGERS = [SingerData("anna", 10.0, 5, 110.0, 440.0), SingerData("minho", 9.0, 5, 110.0, 440.0)]
JUDGE = Judge("own", "a net", Figure(0.99, 0.97, 1.0, 100), [[50, 0], [1, 49]])


def _row(name: str, n: int = 100, **means: float) -> Row:
    return Row(name, n, {metric: Figure(mean, mean - 0.02, mean + 0.02, n) for metric, mean in means.items()})


def _write(*rows: Row, confusion: list[list[int]] | None = None, judges: list[Judge] | None = None) -> list[str]:
    items = [Item("1", report.CONVERSION, "a", "anna", target, 0.0, {}, {}) for target in ("anna", "minho")]
    return verdict.write(
        rows, {"own": confusion or [[50, 0], [0, 50]]}, [JUDGE] if judges is None else judges, items, SINGERS
    )


TRUTH = _row(report.TRUTH, identified=0.99, vowel_accuracy=0.93)


def test_a_good_voice_is_called_good_and_nothing_is_added() -> None:
    good = _row(
        report.CONVERSION, identified=0.93, leak=0.02, raw_pitch_accuracy=0.97, raw_chroma_accuracy=0.98,
        vowel_accuracy=0.88, rest_noise_db=-45.0, clipped_fraction=0.0,
    )  # fmt: skip
    assert _write(good, TRUTH) == [
        "The voice is the target's. Heard as the target in 93% of 100 conversions (real recordings of them: 99%), and "
        "as the source in 2%.",
        "Melody kept: 97% of the sung frames are within a quarter tone of the note asked for.",
        "Words kept: 88% of the vowels are recognised (real recordings: 93%).",
    ]


def test_copies_are_called_copies() -> None:
    copies = _row(report.CONVERSION, identified=0.0, leak=1.0, raw_pitch_accuracy=1.0, raw_chroma_accuracy=1.0)
    said = _write(copies, TRUTH, confusion=[[0, 50], [50, 0]])
    assert said[0].startswith("Nothing was converted")
    assert said[1].startswith("Melody kept")


def test_other_songs_of_the_target_have_the_voice_and_not_the_melody() -> None:
    swapped = _row(report.CONVERSION, identified=1.0, leak=0.0, raw_pitch_accuracy=0.03, raw_chroma_accuracy=0.1)
    said = _write(swapped, TRUTH)
    assert said[0].startswith("The voice is the target's")
    assert said[1].startswith("Melody lost: 3%")
    assert "another 7% are an octave off" in said[1]


def test_wrong_octaves_are_not_a_lost_melody() -> None:
    said = _write(_row(report.CONVERSION, identified=1.0, raw_pitch_accuracy=0.1, raw_chroma_accuracy=0.95))
    assert said[1].startswith("Melody kept, but in wrong octaves")


def test_the_weakest_target_and_its_double_are_named() -> None:
    weak = _row(report.CONVERSION, identified=0.7, raw_pitch_accuracy=0.97, raw_chroma_accuracy=0.97)
    said = " ".join(_write(weak, TRUTH, confusion=[[45, 5], [25, 25]]))
    assert "Weakest target: minho, heard in 50%; most often taken for anna (50%)." in said


def test_faults_of_the_sound_are_named() -> None:
    dirty = _row(report.CONVERSION, identified=1.0, rest_noise_db=-12.0, clipped_fraction=0.01, clicks_per_minute=30.0)
    said = " ".join(_write(dirty))
    assert "noise in the rests, only 12 dB below" in said
    assert "clipping (1.00%" in said
    assert "clicks (30 a minute)" in said


@pytest.mark.parametrize(("real", "is_a_fault"), [(9.9, True), (10.1, False)])
def test_clicks_count_beyond_ten_and_twice_those_of_real_recordings(real: float, is_a_fault: bool) -> None:
    converted = _row(report.CONVERSION, identified=1.0, clicks_per_minute=30.0)
    said = " ".join(_write(converted, _row(report.TRUTH, identified=1.0, clicks_per_minute=real)))
    assert ("clicks (30 a minute)" in said) == is_a_fault


def test_same_words_are_compared_with_the_source() -> None:
    converted = _row(report.CONVERSION, identified=1.0)
    near = _row(report.PARALLEL, truth_distance_db=6.0, truth_floor_db=9.0)
    far = _row(report.PARALLEL, truth_distance_db=9.5, truth_floor_db=9.0)
    assert "conversions are nearer to the target's own recordings" in " ".join(_write(converted, near))
    assert "conversions are no nearer to" in " ".join(_write(converted, far))


def test_little_data_is_named() -> None:
    singers = [SingerData("anna", 0.5, 5, 110.0, 440.0), SingerData("minho", 9.0, 5, 110.0, 440.0)]
    items = [Item("1", report.CONVERSION, "a", "minho", "anna", 0.0, {}, {})]
    said = verdict.write([_row(report.CONVERSION, identified=1.0)], {}, [JUDGE], items, singers)
    assert said[-1] == "Little to learn from: anna 0.5 min; three minutes of singing and more are better."


def test_little_data_of_the_only_singer_is_named() -> None:
    """Once only targets of conversions were looked at, and a voice of one singer has none."""
    rows = [_row(report.STRANGERS, raw_pitch_accuracy=0.97, raw_chroma_accuracy=0.98)]
    items = [Item("1", report.STRANGERS, "a", "", "anna", 0.0, {}, {})]
    said = verdict.write(rows, {}, [], items, [SingerData("anna", 0.5, 5, 110.0, 440.0)])
    assert said[-1] == "Little to learn from: anna 0.5 min; three minutes of singing and more are better."


def test_notes_beyond_the_range_of_the_training_are_named_after_the_transposition() -> None:
    singers = [SingerData("anna", 9.0, 5, 220.0, 880.0), SingerData("minho", 9.0, 5, 110.0, 440.0)]

    def said(transpose_semitones: float) -> str:
        items = [Item("1", report.CONVERSION, "a", "anna", "minho", transpose_semitones, {}, {}, {}, {}, 220.0, 880.0)]
        return " ".join(verdict.write([_row(report.CONVERSION, identified=1.0)], {}, [JUDGE], items, singers))

    assert "minho sang A2 to A4, asked were A3 to A5" in said(0)
    assert "beyond" not in said(-12)
    assert "asked were A1 to A3" in said(-24)


def test_a_low_take_that_is_moved_up_does_not_ask_for_the_high_ones_moved_up_too() -> None:
    """A singer of A2 to F4 whose lone A2 went up two octaves was said to have asked for an F6."""
    singers = [SingerData("alys", 9.0, 5, 277.2, 471.6), SingerData("ibuki", 9.0, 5, 107.5, 345.2)]
    moved = ((24.0, 110.0), (0.0, 345.2), (12.0, 146.8))
    items = [Item("1", report.CONVERSION, "a", "ibuki", "alys", by, {}, {}, {}, {}, hz, hz) for by, hz in moved]
    reach = verdict.beyond(singers[0], items)
    assert reach is not None and reach.asked_hz == pytest.approx((293.6, 440.0)) and reach.cents < 0
    assert not any(
        "asked were" in line
        for line in verdict.write([_row(report.CONVERSION, identified=1.0)], {}, [JUDGE], items, singers)
    )


def test_doubts_about_the_judge_and_about_few_clips_are_said() -> None:
    unsure = Judge("own", "", Figure(0.8, 0.7, 0.9, 20), [])
    few = Row(report.CONVERSION, 6, {"identified": Figure(0.5, 0.2, 0.8, 6)})
    head, said, *_ = _write(few, judges=[unsure])
    assert head.startswith("Whose voice it is cannot be told for sure. Heard as the target in 50% of 6")
    assert said.startswith("Be careful")
    assert "only 80% of real recordings rightly" in said
    assert "only 6 clips" in said
    assert "from 20% to 80%" in said
    assert "nobody checked the judge" in _write(few, judges=[Judge("own", "", None, [])])[1]


def test_a_handful_of_clips_carries_no_headline() -> None:
    # Thirty steps of training once had "The voice is the target's" in large letters, for two clips of two.
    for n, head in (
        (9, "Whose voice it is cannot be told for sure. Heard as the target in 100% of 9"),
        (10, "The voice"),
    ):
        assert _write(_row(report.CONVERSION, n, identified=1.0))[0].startswith(head)


def test_judges_that_disagree_are_not_trusted() -> None:
    said = " ".join(_write(_row(report.CONVERSION, identified=0.95, identified_public=0.5)))
    assert "do not agree" in said


def test_without_conversions_there_is_nothing_to_judge() -> None:
    assert _write(TRUTH) == ["There is nothing to judge: no recording was converted into another singer."]


def test_without_a_figure_of_the_judge_there_is_nothing_to_judge() -> None:
    assert _write(Row(report.CONVERSION, 0, {}))[0].startswith("There is nothing to judge")


def test_a_doubted_judge_is_not_believed_when_it_praises() -> None:
    praised = _row(report.CONVERSION, identified=1.0, leak=0.0)
    assert _write(praised)[0].startswith("The voice is the target's")
    for accuracy in (Figure(0.89, 0.8, 0.95, 50), None):
        said = _write(praised, judges=[Judge("own", "", accuracy, [])])
        assert said[0].startswith("Whose voice it is cannot be told")
        assert said[1].startswith("Be careful")


def test_words_are_judged_beside_real_recordings_or_not_at_all() -> None:
    half = _row(report.CONVERSION, identified=1.0, vowel_accuracy=0.5)
    for real, words in ((0.9, "Words suffer"), (0.6, "Words kept"), (0.59, "Words cannot be judged")):
        assert f"{words}: 50% of the vowels" in " ".join(_write(half, _row(report.TRUTH, vowel_accuracy=real)))
    assert "nobody knows how many of real recordings" in " ".join(_write(half))


def test_distances_whose_intervals_meet_are_not_told_apart() -> None:
    converted = _row(report.CONVERSION, identified=1.0)
    same = Row(
        report.PARALLEL, 20, {"truth_distance_db": Figure(8.8, 8.3, 9.1, 20), "truth_floor_db": Figure(9.2, 9, 9.5, 20)}
    )
    assert "conversions are about as near to the target's own recordings as the sources" in " ".join(
        _write(converted, same)
    )


def test_few_clips_of_the_weakest_target_are_counted_not_shared() -> None:
    weak = _row(report.CONVERSION, identified=0.7)
    said = " ".join(_write(weak, confusion=[[3, 0], [2, 1]]))
    assert "Weakest target: minho, heard in 1 of 3 clips; most often taken for anna (2 of 3)." in said


def test_letters_are_judged_beside_the_source_moved_in_pitch_only() -> None:
    def said(wrong: float, moved: float | None, row: str = report.CONVERSION, control: str = report.MOVED) -> str:
        rows = [_row(report.CONVERSION, identified=1.0), _row(row, identified=1.0, character_error_rate=wrong)]
        rows += [] if moved is None else [_row(control, character_error_rate=moved)]
        return next(line for line in _write(*rows) if "Whisper" in line)

    moved = "(the source moved in pitch only: 10%)"
    assert said(0.14, 0.10) == f"Words kept: Whisper reads 14% of the letters otherwise {moved}."
    assert said(0.16, 0.10) == f"Words suffer: Whisper reads 16% of the letters otherwise {moved}."
    assert "nobody knows" in said(0.14, None)
    assert said(0.8, 0.7).startswith("Words: Whisper cannot judge them here")
    assert said(0.5, 0.10, report.STRANGERS, report.MOVED_STRANGERS) == (
        f"Words suffer: Whisper reads 50% of the letters of songs by strangers otherwise {moved}."
    )


def test_vowels_stand_beside_those_of_the_moved_source() -> None:
    moved = _row(report.MOVED, vowel_accuracy=0.85)
    said = _write(_row(report.CONVERSION, identified=1.0, vowel_accuracy=0.7), moved, TRUTH)
    assert any("(real recordings: 93%; moved in pitch only: 85%)" in line for line in said)


@pytest.mark.parametrize("row", [report.STRANGERS, report.RECONSTRUCTION])
def test_a_voice_of_one_singer_is_judged_by_what_can_be_judged(row: str) -> None:
    """Such a report once said, after minutes of work, that there was nothing to judge."""
    rows = [_row(row, raw_pitch_accuracy=0.97, raw_chroma_accuracy=0.98), _row(report.CHANCE)]
    said = verdict.write(rows, {}, [], [], SINGERS[:1])
    assert said[0].startswith("Whose voice it is was not judged: there is one singer")
    assert said[-1].startswith("Melody kept: 97%")
    assert any("own takes" in sentence for sentence in said) == (row == report.RECONSTRUCTION)
