"""What to do next follows from the figures: train on, record whom and what, judge more; each only where it helps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data, next_steps, scales
from moksori.evaluation.report.data import Item, Report, Row, SingerData
from moksori.language import Words
from moksori.training import recipe

GOOD = SingerData("anna", 10.0, 5, 110.0, 440.0, -70.0, 0.0)
ALSO_GOOD = dataclasses.replace(GOOD, name="minho")
TRAINED = {"recipe": "swift", "steps": 8000, "training_seconds": 8000.0}


def report_on(*singers: SingerData, n: int = 60, items: list[Item] | None = None, **model: Any) -> Report:
    row = Row(data.CONVERSION, n, {"identified": Figure(0.9, 0.8, 1.0, n), "raw_pitch_accuracy": Figure(1, 1, 1, n)})
    chance = Row(data.CHANCE, 0, {"identified": Figure(0.5, 0.5, 0.5, 0)})
    truth = Row(data.TRUTH, 9, {"identified": Figure(1, 1, 1, 9)})
    swapped = Row(data.SWAPPED, 9, {"raw_pitch_accuracy": Figure(0.1, 0.1, 0.1, 9)})
    moved = Row(data.MOVED, 9, {"raw_pitch_accuracy": Figure(0.99, 0.99, 0.99, 9)})
    rows = [row, truth, moved, swapped, chance]
    return Report("t", "c", "d", "s", list(singers), [], rows, items or [], {}, [], [], TRAINED | model, {})


def test_a_good_voice_of_good_data_needs_nothing_but_more_recordings() -> None:
    (only,) = next_steps.write(report_on(GOOD, ALSO_GOOD))
    assert only.startswith("More training alone will hardly help: 8,000 steps")


def test_where_nothing_is_known_of_the_recipe_nothing_is_said_of_it() -> None:
    assert next_steps.write(report_on(GOOD, ALSO_GOOD, recipe="mine"))[0].startswith("Nothing stands out.")
    assert next_steps.write(report_on(GOOD, ALSO_GOOD, recipe="mine", steps=None))[0].startswith("Nothing stands out.")


def test_a_voice_that_is_not_usable_yet_is_told_until_when_and_how() -> None:
    """At 0.16 steps a second 2,000 steps take 3.5 hours; once nobody was told that training had hardly begun."""
    usable = recipe.load("swift").loop.usable_steps
    said = next_steps.write(report_on(GOOD, steps=500, training_seconds=500 / 0.16))[0]
    assert f"needs about {usable:,} steps until it is usable, this voice has 500." in said
    hours = usable / 0.16 / 3600
    assert f"about {hours:.1f} h in all" in said and f"--for {-(-hours // 1):.0f}h goes on" in said


def test_a_usable_voice_is_told_what_the_shown_figures_took() -> None:
    loop = recipe.load("swift").loop
    said = next_steps.write(report_on(GOOD, steps=loop.usable_steps, training_seconds=3600.0))[0]
    assert f"had about {loop.good_steps:,} steps for the figures that are shown" in said and "--for" in said


def test_a_few_first_steps_say_nothing_of_time() -> None:
    assert "--for" not in next_steps.write(report_on(GOOD, steps=20, training_seconds=60.0))[0]


def test_who_needs_recordings_is_told_how_many_minutes_in_which_range_and_how() -> None:
    minho = SingerData("minho", 2.0, 5, 110.0, 220.0, -40.0, 0.01)
    items = [Item("1", data.CONVERSION, "a", "anna", "minho", 0.0, {}, {}, {}, {}, 110.0, 440.0)]
    _, said = next_steps.write(report_on(GOOD, minho, items=items))
    assert said == (
        "minho: record 3.0 more minutes of singing (2.0 to learn from so far); sing A2 to A4, which songs ask for "
        "(so far A2 to A3); record in a quieter room or closer to the microphone (pauses are at -40 dBFS, -50 is "
        "fine); turn the gain down (1.00% of the samples are clipped)."
    )


def test_the_neediest_singer_comes_first() -> None:
    two, one = (dataclasses.replace(GOOD, name=name, train_minutes=m) for name, m in (("two", 2.0), ("one", 1.0)))
    assert [line.split(":")[0] for line in next_steps.write(report_on(two, one))[1:]] == ["one", "two"]


def test_a_narrow_range_is_told() -> None:
    narrow = dataclasses.replace(GOOD, f0_high_hz=130.0)
    assert "anna: sing other pitches too" in next_steps.write(report_on(narrow))[1]


@pytest.mark.parametrize(("n", "is_said"), [(5, True), (29, True), (30, False)])
def test_few_conversions_are_told(n: int, is_said: bool) -> None:
    many = [dataclasses.replace(singer, n_test=30) for singer in (GOOD, ALSO_GOOD)]
    assert any(line.startswith(f"Judge more: {n} ") for line in next_steps.write(report_on(*many, n=n))) == is_said


def test_nobody_is_sent_for_clips_that_there_are_not() -> None:
    """All 25 recordings that were held out had been converted, and the report asked for more with --clips."""
    few = [dataclasses.replace(GOOD, n_test=7), dataclasses.replace(ALSO_GOOD, n_test=18)]
    said = next_steps.write(report_on(*few, n=25))[-1]
    assert said.startswith("Record more takes: all 25 conversions") and "--clips" not in said


def test_a_voice_of_one_singer_is_to_be_judged_by_songs() -> None:
    """It was told to ask for more with --clips, which could never give any."""
    alone = dataclasses.replace(report_on(GOOD, n=0), singers=[GOOD], rows=[])
    assert any("--songs" in line for line in next_steps.write(alone))
    by_songs = dataclasses.replace(alone, rows=[Row(data.STRANGERS, 5, {})])
    assert not any("--songs" in line or "--clips" in line for line in next_steps.write(by_songs))


def test_in_korean_too() -> None:
    anna = dataclasses.replace(GOOD, train_minutes=1.0)
    said = next_steps.write(report_on(anna, ALSO_GOOD, steps=500, n=5), Words("ko"))
    assert (
        said[0].startswith("더 학습하세요.") and "anna: 노래를 4.0분 더 녹음하세요" in said[1] and "--clips" in said[2]
    )


# --- scales ---


def test_each_figure_stands_between_guessing_and_the_real_thing() -> None:
    heard, pitch = scales.of(report_on(GOOD))
    assert (heard.metric, heard.here.mean, heard.real and heard.real.mean) == ("identified", 0.9, 1.0)
    assert heard.guess is not None and heard.guess.mean == 0.5
    assert pitch.guess is not None and pitch.guess.mean == 0.1  # another recording of the target
    assert pitch.real is not None and pitch.real.mean == 0.99  # real recordings have no source: moved in pitch only
    assert "RPA" in pitch.others and "62 to 72 %" in pitch.known


def test_a_report_without_conversions_has_no_scales() -> None:
    assert scales.of(dataclasses.replace(report_on(GOOD), rows=[])) == []


def test_who_sings_is_guessed_by_chance_and_how_natural_it_sounds_is_not_guessed() -> None:
    """Once a real recording of the target, which a public judge knows, stood in the column "by guessing"."""
    report = report_on(GOOD, ALSO_GOOD)
    figure = Figure(0.9, 0.9, 0.9, 9)
    for name in (data.CONVERSION, data.SWAPPED):
        row = report.row(name)
        assert row is not None
        row.figures.update(identified_public=figure, distill_mos=figure, truth_distance_db=figure)
    found = {scale.metric: scale.guess for scale in scales.of(report)}
    assert found["identified_public"] is None  # a report of before, whose row of chance lacks it
    assert found["distill_mos"] is None
    assert found["truth_distance_db"] == figure
    assert found["identified"] == Figure(0.5, 0.5, 0.5, 0)
