import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from moksori.audio import features, files, mulaw, resample
from moksori.audio.clip import Clip
from moksori.audio.features import FeatureConfig
from moksori.data.corpus import Corpus, Recording
from moksori.data.segments import SegmentTable, layout, open_codes
from moksori.errors import AudioFileError, DataError
from moksori.progress import Progress

RATE = 16000

Sound = npt.NDArray[np.float64]


def recording(
    singer: str, path: str, n_samples: int, regions: list[tuple[int, int]], split: str = "train"
) -> Recording:
    return Recording(
        singer=singer,
        source=f"{singer}/{Path(path).name}",
        path=path,
        split=split,
        n_samples=n_samples,
        seconds=n_samples / RATE,
        sung_seconds=sum(end - start for start, end in regions) / RATE,
        regions=tuple(regions),
        source_sha256="0" * 64,
        audio_sha256=path.encode().hex(),
        gain_db=0.0,
        peak_dbfs=-1.0,
        clipped_fraction=0.0,
        noise_dbfs=-80.0,
        f0_low_hz=None,
        f0_median_hz=None,
        f0_high_hz=None,
    )


def by_hand(folder: Path, sounds: list[tuple[str, Sound, list[tuple[int, int]]]]) -> Corpus:
    """A corpus of given samples: (singer, samples, sung regions)."""
    rows = []
    for i, (singer, samples, regions) in enumerate(sounds):
        path = f"clips/{singer}/{i}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        files.write(folder / path, Clip(samples.astype(np.float32), RATE))
        rows.append(recording(singer, path, len(samples), regions))
    return Corpus(folder, RATE, -23.0, tuple(sorted({row.singer for row in rows})), tuple(rows))


def ramp(n: int) -> Sound:
    """Samples that tell where they lie: no two codes alike for long."""
    return np.linspace(-0.9, 0.9, n)


def test_a_segment_is_a_function_of_seed_and_singer(corpus: Corpus) -> None:
    table = SegmentTable(corpus, "train", RATE, 4000)
    a, b = (table.item(1, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == (4000,)
    assert a.dtype == torch.int64
    assert not torch.equal(a, table.item(1, np.random.default_rng(8)))


def test_a_segment_is_a_stretch_of_a_clip_of_its_singer_and_split(corpus: Corpus) -> None:
    table = SegmentTable(corpus, "train", RATE, 2000)
    for singer, name in enumerate(corpus.singers):
        clips = [
            bytes(mulaw.encode(torch.from_numpy(files.read(corpus.clip_path(r)).samples)).tolist())
            for r in corpus.of("train", name)
        ]
        for seed in range(5):
            segment = table.item(singer, np.random.default_rng(seed))
            assert len(segment) == 2000 and any(bytes(segment.tolist()) in codes for codes in clips)


def test_codes_at_another_rate_are_those_of_the_resampled_clip(corpus: Corpus) -> None:
    codes = open_codes(corpus, 8000)
    for row, start, length in layout(corpus, 8000):
        samples = resample.resample(files.read(corpus.clip_path(row)).samples, corpus.sample_rate, 8000)
        expected = mulaw.encode(torch.from_numpy(samples)).numpy()
        difference = np.abs(codes[start : start + length].astype(int) - expected)
        assert length == len(expected)
        assert difference.max() <= 1  # blocks differ from the whole by 1e-4 at most: the neighbouring code


def test_silence_between_regions_is_never_drawn(tmp_path: Path) -> None:
    samples = np.concatenate([np.full(3000, 0.5), np.zeros(20000), np.full(3000, -0.5)])
    table = SegmentTable(by_hand(tmp_path, [("x", samples, [(0, 3000), (23000, 26000)])]), "train", RATE, 1000)
    drawn = torch.stack([table.item(0, np.random.default_rng(seed)) for seed in range(200)])
    assert not (drawn == mulaw.SILENCE).any()
    share = (drawn[:, 0] > mulaw.SILENCE).float().mean()
    assert 0.35 < share < 0.65  # both regions are as long; 200 draws, 4 standard deviations


def test_every_start_inside_a_region_is_drawn(tmp_path: Path) -> None:
    table = SegmentTable(by_hand(tmp_path, [("x", ramp(12), [(2, 10)])]), "train", RATE, 5)
    codes = mulaw.encode(torch.from_numpy(ramp(12).astype(np.float32)))
    drawn = {tuple(table.item(0, np.random.default_rng(seed)).tolist()) for seed in range(200)}
    assert len(drawn) == 4
    assert all(abs(codes[2 + i] - sorted(drawn)[i][0]) <= 1 for i in range(4))


def test_a_short_region_is_drawn_with_its_surroundings(tmp_path: Path) -> None:
    samples = ramp(1000)
    table = SegmentTable(by_hand(tmp_path, [("x", samples, [(990, 1000)])]), "train", RATE, 100)
    segment = table.item(0, np.random.default_rng(0))
    assert segment.tolist() == open_codes(table.corpus, RATE)[900:1000].tolist()


def test_a_clip_shorter_than_a_segment_is_padded_with_silence(tmp_path: Path) -> None:
    table = SegmentTable(by_hand(tmp_path, [("x", np.full(300, 0.5), [(0, 300)])]), "train", RATE, 1000)
    segment = table.item(0, np.random.default_rng(0))
    assert (segment[:300] > mulaw.SILENCE).all()
    assert (segment[300:] == mulaw.SILENCE).all()


def test_no_segment_crosses_from_one_clip_into_the_next(tmp_path: Path) -> None:
    corpus = by_hand(tmp_path, [("x", np.full(500, 0.5), [(0, 500)]), ("y", np.full(500, -0.5), [(0, 500)])])
    table = SegmentTable(corpus, "train", RATE, 400)
    for seed in range(50):
        assert (table.item(0, np.random.default_rng(seed)) > mulaw.SILENCE).all()
        assert (table.item(1, np.random.default_rng(seed)) < mulaw.SILENCE).all()


def test_fixed_items_lie_evenly_and_stay(tmp_path: Path) -> None:
    corpus = by_hand(tmp_path, [("x", ramp(4000), [(0, 4000)]), ("y", ramp(100), [(0, 100)])])
    table = SegmentTable(corpus, "train", RATE, 1000)
    items = table.fixed_items(4)
    assert [(item.singer, item.start) for item in items] == [
        *((0, start) for start in (0, 1000, 2000, 3000)),
        *((1, 0) for _ in range(4)),
    ]
    assert all(torch.equal(a.clip, b.clip) for a, b in zip(items, table.fixed_items(4), strict=True))


def test_a_singer_without_recordings_in_a_split_has_no_items(tmp_path: Path) -> None:
    table = SegmentTable(by_hand(tmp_path, [("x", ramp(100), [(0, 100)])]), "test", RATE, 10)
    assert table.fixed_items(3) == []
    assert table.sung_length(0) == 0
    with pytest.raises(ValueError, match="'x' has no recording in the test split"):
        table.item(0, np.random.default_rng(0))


def cache_files(corpus: Corpus) -> list[Path]:
    return sorted((corpus.folder / "cache").iterdir())


def copied(corpus: Corpus, tmp_path: Path) -> Corpus:
    shutil.copytree(corpus.folder / "clips", tmp_path / "clips")
    return dataclasses.replace(corpus, folder=tmp_path)


def test_the_cache_does_not_depend_on_workers_and_is_built_once(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = copied(corpus, tmp_path / "a"), copied(corpus, tmp_path / "b")
    one, three = open_codes(a, RATE, workers=1), open_codes(b, RATE, workers=3)
    assert np.array_equal(one, three)
    monkeypatch.setattr(files, "blocks", None)  # any further reading would fail
    assert np.array_equal(open_codes(a, RATE), one)


def test_a_stale_or_damaged_cache_is_built_anew(corpus: Corpus, tmp_path: Path) -> None:
    corpus = copied(corpus, tmp_path)
    expected = np.array(open_codes(corpus, RATE))
    header, codes = cache_files(corpus)
    os.truncate(codes, 100)
    assert np.array_equal(open_codes(corpus, RATE), expected)
    header.write_text(json.dumps({"version": 0}), encoding="utf-8")
    codes.write_bytes(bytes(len(expected)))  # what another version wrote
    assert np.array_equal(open_codes(corpus, RATE), expected)
    header.write_text("{", encoding="utf-8")
    assert np.array_equal(open_codes(corpus, RATE), expected)
    fewer = dataclasses.replace(corpus, recordings=corpus.recordings[:-1])
    assert len(open_codes(fewer, RATE)) < len(expected)
    assert len(cache_files(corpus)) == 2  # the former state was removed


def test_a_failed_build_leaves_nothing_behind(corpus: Corpus, tmp_path: Path) -> None:
    corpus = copied(corpus, tmp_path)
    corpus.clip_path(corpus.recordings[-1]).write_text("no sound", encoding="utf-8")
    with pytest.raises(AudioFileError, match="not a sound file"):
        open_codes(corpus, RATE)
    assert cache_files(corpus) == []


@pytest.mark.parametrize("n", [-100, 100])
def test_a_clip_of_another_length_than_stated_is_refused(corpus: Corpus, tmp_path: Path, n: int) -> None:
    corpus = copied(corpus, tmp_path)
    first = corpus.recordings[0]
    files.write(corpus.clip_path(first), Clip(np.zeros(first.n_samples + n, np.float32), RATE))
    with pytest.raises(DataError, match=r"does not have the \d+ samples that the manifest states"):
        open_codes(corpus, RATE)


def test_progress_is_told_about_every_recording(corpus: Corpus, tmp_path: Path) -> None:
    calls: list[Progress] = []
    open_codes(copied(corpus, tmp_path), RATE, workers=2, progress=calls.append)
    assert calls == [Progress(i + 1, len(corpus.recordings), r.source) for i, r in enumerate(corpus.recordings)]


@pytest.mark.parametrize("window", [0, 512, 1024])
def test_what_is_told_of_a_segment_is_that_of_its_place(window: int, corpus: Corpus) -> None:
    """Codes, pitch, level and log-mel, the latter held for their hop, from the frame at which the segment starts."""
    hop = 160
    table = SegmentTable(corpus, "train", RATE, 4 * hop, melody_hop_samples=hop, mel_window_samples=window)
    codes = SegmentTable(corpus, "train", RATE, 4 * hop)
    (conditioned, *_), (plain, *_) = table.fixed_items(3), codes.fixed_items(3)
    assert conditioned.clip.shape == (3 + features.WINDOWS.get(window, 0), 4 * hop)
    assert conditioned.start % hop == 0 and 0 <= plain.start - conditioned.start < hop
    samples = files.read(next(corpus.clip_path(r) for r in corpus.recordings if r.source == conditioned.source)).samples
    whole = mulaw.encode(torch.from_numpy(samples)).float()
    assert torch.equal(conditioned.clip[0], whole[conditioned.start : conditioned.start + 4 * hop])
    frames = slice(conditioned.start // hop, conditioned.start // hop + 4)
    config = FeatureConfig(RATE, hop)
    level_dbfs = torch.from_numpy(features.level_dbfs(samples, config)).float()
    torch.testing.assert_close(conditioned.clip[2, ::hop], level_dbfs[frames], atol=0.05, rtol=0)
    assert torch.equal(conditioned.clip[:, ::hop][1:], conditioned.clip[:, hop - 1 :: hop][1:])
    if window:
        mel = features.log_mel(features.magnitude(samples, window, config), config.filterbank(window))
        torch.testing.assert_close(conditioned.clip[3:, ::hop], mel[:, frames], atol=0.01, rtol=0)  # half precision


def test_impossible_requests_are_refused(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="known are train, validation, test"):
        SegmentTable(corpus, "dev", RATE, 100)
    with pytest.raises(ValueError, match="at least 1"):
        SegmentTable(corpus, "train", RATE, 0)
    with pytest.raises(ValueError, match="there are 3"):
        SegmentTable(corpus, "train", RATE, 100).item(3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1"):
        SegmentTable(corpus, "train", RATE, 100).fixed_items(0)


def test_segments_with_melody_start_on_its_frames(corpus: Corpus) -> None:
    """They began anywhere, so the melody was told up to half a hop early or late, by chance."""
    hop, chance = 160, np.random.default_rng(0)
    table = SegmentTable(corpus, "train", RATE, 4 * hop, melody_hop_samples=hop)
    for _ in range(20):
        segment = table.item(0, chance)
        assert segment.shape == (3, 4 * hop)
        changes = torch.nonzero(segment[2].diff()).flatten() + 1
        assert (changes % hop == 0).all()
    cut, seen = table._cut, []
    table._cut = lambda region, start: seen.append(start) or cut(region, start)  # type: ignore[method-assign,func-returns-value]
    for _ in range(20):
        table.item(0, chance)
    assert len(set(seen)) > 10 and all(start % hop == 0 for start in seen)
