import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from moksori.audio import files, level
from moksori.data import stretches, takes
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.data.stretches import StretchConfig
from moksori.errors import DataError

RATE = 8000
# As the usual lengths, a tenth as long: a take of half a minute is as good as one of five.
SHORT = StretchConfig(long_seconds=12.0, shortest_seconds=1.2, longest_seconds=3.0, gap_seconds=0.5)
CONFIG = PrepareConfig(sample_rate=RATE, workers=1, stretches=SHORT)
SOUNDS = [f"sound {i}" for i in range(200)]


def session(path: Path, seconds: float = 30.0, seed: int = 0) -> np.ndarray:
    """Write one long take: phrases of a second or so of a tone, with pauses of 0.6 to 1 s between them."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        n = int(rng.uniform(0.8, 1.4) * RATE)
        hz = rng.uniform(150, 400)
        parts.append(0.2 * np.sin(2 * np.pi * hz * np.arange(n) / RATE) + 0.001 * rng.standard_normal(n))
        parts.append(np.zeros(int(rng.uniform(0.6, 1.0) * RATE)))
    samples = np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return samples


def splits_of(corpus: Corpus, file: str) -> dict[str, str]:
    return {r.audio_sha256: r.split for r in corpus.recordings if stretches.file_of(r.source) == file}


def measured(frame_dbfs: np.ndarray) -> level.Measurement:
    return level.Measurement(frame_dbfs, 1, len(frame_dbfs), 10, 0.0, 0)


# --- where to cut: ten samples a second, a frame each ---


def test_a_take_is_cut_at_the_longest_pause_within_reach() -> None:
    config = StretchConfig(shortest_seconds=1, longest_seconds=3)  # 10 and 30 samples
    regions = [(0, 8), (10, 14), (15, 20), (24, 38), (40, 50)]
    found = stretches.cut(regions, measured(np.zeros(50)), config)
    assert found == [[(0, 8), (10, 14), (15, 20)], [(24, 38), (40, 50)]]  # the pause 20..24; the rest is short enough


def test_where_nobody_pauses_the_quietest_place_is_cut() -> None:
    config = StretchConfig(shortest_seconds=1, longest_seconds=3)
    levels = np.zeros(40)
    levels[17:22] = -20
    assert stretches.cut([(0, 40)], measured(levels), config) == [[(0, 19)], [(19, 40)]]


@given(st.lists(st.integers(1, 400), min_size=2, max_size=60), st.integers(0, 9))
def test_stretches_are_the_take_again_none_too_long_and_none_too_short(lengths: list[int], seed: int) -> None:
    config = StretchConfig(shortest_seconds=5, longest_seconds=12)  # 50 and 120 samples
    edges = np.cumsum(lengths)
    regions = (
        [(int(a), int(b)) for a, b in zip(edges[:-1:2], edges[1::2], strict=True)]
        if len(edges) % 2 == 0
        else [(int(a), int(b)) for a, b in zip(edges[:-1:2], edges[1::2], strict=False)]
    )
    levels = np.random.default_rng(seed).uniform(-60, 0, int(edges[-1]) + 1)
    found = stretches.cut(regions, measured(levels), config)
    sung = [sample for stretch in found for a, b in stretch for sample in range(a, b)]
    assert sung == [sample for a, b in regions for sample in range(a, b)]
    assert all(stretch[-1][1] - stretch[0][0] <= 120 for stretch in found)


def test_a_take_that_goes_on_is_cut_as_before() -> None:
    rng = np.random.default_rng(3)
    edges = np.cumsum(rng.integers(3, 40, 80)).tolist()
    regions, levels = list(zip(edges[::2], edges[1::2], strict=True)), measured(rng.uniform(-60, 0, edges[-1]))
    config = StretchConfig(shortest_seconds=5, longest_seconds=12)
    shorter, longer = stretches.cut(regions[:20], levels, config), stretches.cut(regions, levels, config)
    assert longer[: len(shorter) - 2] == shorter[:-2] and len(shorter) > 4  # but for the end, which was near


# --- what is held out ---


@given(st.integers(3, 60), st.integers(0, 30))
def test_each_split_has_its_share_and_at_least_one(n: int, seed: int) -> None:
    found = stretches.place(SOUNDS[:n], {}, seed=seed, validation_share=0.1, test_share=0.1)
    expected = max(1, round(0.1 * n))
    assert found.count("test") == found.count("validation") == expected
    assert found.count("train") == n - 2 * expected


def test_what_is_kept_stays_and_only_what_is_missing_is_drawn() -> None:
    before = dict(
        zip(SOUNDS[:20], stretches.place(SOUNDS[:20], {}, seed=0, validation_share=0.1, test_share=0.1), strict=True)
    )
    after = stretches.place(SOUNDS[:40], before, seed=0, validation_share=0.1, test_share=0.1)
    assert dict(zip(SOUNDS[:20], after[:20], strict=True)) == before
    assert after.count("test") == 4


def test_one_stretch_is_always_left_to_train_on() -> None:
    assert stretches.place(SOUNDS[:2], {}, seed=0, validation_share=0.1, test_share=0.1).count("train") == 1
    assert stretches.place(SOUNDS[:9], {}, seed=0, validation_share=0, test_share=0) == ["train"] * 9


def test_a_gap_is_taken_out_of_what_is_trained_on() -> None:
    takes = [[(0, 10), (12, 20)], [(21, 30)], [(30, 33), (35, 40)], [(41, 50)]]
    left = stretches.apart(takes, ["train", "test", "train", "train"], 5)
    assert left == [[(0, 10), (12, 16)], [(21, 30)], [(35, 40)], [(41, 50)]]


def test_validation_gives_way_to_test() -> None:
    assert stretches.apart([[(0, 10)], [(10, 20)]], ["validation", "test"], 4) == [[(0, 6)], [(10, 20)]]


# --- prepared ---


def test_one_long_take_is_trained_on_and_held_out_with_a_gap(tmp_path: Path) -> None:
    """Once a studio session of one file held out nothing: no score, no best model, nothing to evaluate."""
    samples = session(tmp_path / "songs/x/session.wav")
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert {r.split for r in corpus.recordings} == {"train", "validation", "test"}
    assert sum(r.seconds for r in corpus.of("train")) > 0.6 * len(samples) / RATE
    ends = [tuple(map(float, r.source.rpartition("=")[2].split(","))) for r in corpus.recordings]
    for (_, end), (start, _), left, right in zip(
        ends, ends[1:], corpus.recordings, corpus.recordings[1:], strict=False
    ):
        assert start >= end
        assert left.split == right.split or start - end >= SHORT.gap_seconds - 0.01
    for r, (start, end) in zip(corpus.recordings, ends, strict=True):
        clip = files.read(corpus.clip_path(r)).samples / 10 ** (r.gain_db / 20)
        place = round(start * RATE)
        assert np.median(np.abs(clip - samples[place : place + len(clip)])) < 1e-3  # ends change: a low cut rings there
        assert len(clip) == r.n_samples == pytest.approx((end - start) * RATE, abs=RATE / 50)


def test_other_files_that_come_or_go_never_move_a_stretch(tmp_path: Path) -> None:
    session(tmp_path / "songs/x/session.wav")
    alone = splits_of(prepare(tmp_path / "songs", tmp_path / "alone", CONFIG), "x/session.wav")
    for number in range(4):
        session(tmp_path / f"songs/x/short {number}.wav", seconds=3, seed=number + 5)
        session(tmp_path / f"songs/y/{number}.wav", seconds=3, seed=number + 20)
    session(tmp_path / "songs/x/other.wav", seed=2)
    assert splits_of(prepare(tmp_path / "songs", tmp_path / "fresh", CONFIG), "x/session.wav") == alone
    assert splits_of(prepare(tmp_path / "songs", tmp_path / "alone", CONFIG), "x/session.wav") == alone


def test_a_session_that_goes_on_keeps_what_was_held_out(tmp_path: Path) -> None:
    path = tmp_path / "songs/x/session.wav"
    samples = session(path, 40)
    soundfile.write(path, samples[: 20 * RATE], RATE)
    before = splits_of(prepare(tmp_path / "songs", tmp_path / "out", CONFIG), "x/session.wav")
    soundfile.write(path, samples, RATE)
    after = splits_of(prepare(tmp_path / "songs", tmp_path / "out", CONFIG), "x/session.wav")
    same = before.keys() & after.keys()
    assert len(same) >= len(before) - 2 and {s: after[s] for s in same} == {s: before[s] for s in same}


def test_a_take_that_was_trained_on_as_a_whole_stays_whole(tmp_path: Path) -> None:
    session(tmp_path / "songs/x/session.wav")
    uncut = dataclasses.replace(CONFIG, stretches=StretchConfig(long_seconds=0))
    before = prepare(tmp_path / "songs", tmp_path / "out", uncut)
    assert [r.source for r in before.recordings] == ["x/session.wav"]
    assert prepare(tmp_path / "songs", tmp_path / "out", CONFIG) == before


def test_what_was_cut_is_not_made_whole_again(tmp_path: Path) -> None:
    session(tmp_path / "songs/x/session.wav")
    prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    with pytest.raises(DataError, match="holds stretches of long takes"):
        prepare(
            tmp_path / "songs", tmp_path / "out", dataclasses.replace(CONFIG, stretches=StretchConfig(long_seconds=0))
        )


def test_finished_stretches_are_not_decoded_again_and_one_that_is_lost_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(tmp_path / "songs/x/session.wav")
    first = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(takes.files, "blocks", None)  # any decoding would fail
        assert prepare(tmp_path / "songs", tmp_path / "out", CONFIG) == first
    first.clip_path(first.recordings[1]).unlink()
    assert prepare(tmp_path / "songs", tmp_path / "out", CONFIG) == first
    assert first.clip_path(first.recordings[1]).exists()


def test_a_copy_of_a_session_is_skipped_once(tmp_path: Path) -> None:
    session(tmp_path / "songs/x/session.wav")
    soundfile.write(tmp_path / "songs/x/copy.flac", soundfile.read(tmp_path / "songs/x/session.wav")[0], RATE)
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert {stretches.file_of(r.source) for r in corpus.recordings} == {"x/copy.flac"}
    assert [(s.source, s.reason) for s in corpus.skipped] == [("x/session.wav", "same sound as x/copy.flac")]


def test_clips_of_a_session_that_is_gone_are_deleted(tmp_path: Path) -> None:
    session(tmp_path / "songs/x/session.wav")
    session(tmp_path / "songs/x/a.wav", seconds=3, seed=1)
    prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    (tmp_path / "songs/x/session.wav").unlink()
    prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert len(list((tmp_path / "out/clips/x").iterdir())) == 2
