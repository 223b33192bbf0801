"""Progress of long work, by hand."""

from __future__ import annotations

from moksori.progress import Progress, named, numbered, part, summed


def test_of_nothing_to_do_all_is_done_and_no_more_than_all() -> None:
    assert Progress(0, 0).share == 1.0
    assert Progress(5, 4).share == 1.0
    assert Progress(0.25).share == 0.25


def test_works_side_by_side_add_up_on_top_of_what_was_done_before() -> None:
    calls: list[Progress] = []
    tell = summed(calls.append, 2, n_before=3)
    tell(Progress(2, 4, number=1))
    tell(Progress(1, 4, number=0))
    tell(Progress(4, 4, number=1))
    assert [(progress.done, progress.total) for progress in calls] == [(3.5, 5), (3.75, 5), (4.25, 5)]


def test_a_part_of_a_numbered_work_is_told_under_its_number_and_stage() -> None:
    calls: list[Progress] = []
    part(numbered(named(calls.append, "converting"), 7), 0.2, 0.6)(Progress(1, 2, "song.wav"))
    assert calls == [Progress(0.4, 1.0, "converting", 7)]
