"""The experiment, whole, on an invented language and as small as can be."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moksori.errors import UserError
from moksori_studies import back_translation, comparison, toy
from moksori_studies.back_translation import ARMS, Experiment, Sizes
from moksori_studies.bleu import counts
from moksori_studies.comparison import Arm, difference, report, verdict
from moksori_studies.corpora import Corpus
from moksori_studies.subwords import END, NULL

pytest.importorskip("sacrebleu", reason="pip install 'moksori[studies]'")

TINY = Sizes(
    n_parallel=40,
    n_monolingual=30,
    n_merges=60,
    width=16,
    batch_size=8,
    base_updates=6,
    arm_updates=4,
    reverse_updates=(2, 3, 4),
    watch_every=2,
    max_pieces=40,
    seeds=(0, 1),
)
CORPUS = toy.Language(random.Random(1)).corpus(70, 10, random.Random(2))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    experiment = Experiment(CORPUS, TINY, tmp_path_factory.mktemp("text"), lambda line: None)
    experiment.run()
    return experiment


def test_every_arm_has_its_results_and_equal_updates(done: Experiment) -> None:
    for arm in ARMS:
        for seed in (0, 1):
            found = json.loads((done.folder / f"{arm}.{seed}.json").read_text(encoding="utf-8"))
            assert found["n_updates"] == 4
            assert [look["updates"] for look in found["curve"]] == [2, 4]


def test_each_stage_of_the_reverse_model_translated_every_sentence(done: Experiment) -> None:
    for stage in ("weak", "middle", "strong"):
        assert len(done._read_lines(f"synthetic.{stage}")) == 30


def test_the_target_side_is_what_people_wrote(done: Experiment) -> None:
    wanted = [target for _, target in CORPUS.train[40:70]]
    assert [done.target.decode(pair.target) for pair in done.added("null")] == wanted
    for arm in ("weak", "strong"):
        assert {done.target.decode(pair.target) for pair in done.added(arm)} <= set(wanted)
    assert all(pair.source == [NULL] for pair in done.added("null"))
    strong = done.added("strong")
    assert len(strong) > 0
    assert all(pair.source[-1] == END for pair in strong)
    # A net that has learnt nothing may say two spaces; one is read.
    made = [" ".join(line.split()) for line in done._read_lines("synthetic.strong")]
    assert {done.source.decode(pair.source) for pair in strong} <= set(made)


def test_true_sources_of_the_added_sentences_are_never_seen(done: Experiment) -> None:
    # Sub-words and vocabularies come from the pairs alone.
    pairs = Corpus(CORPUS.name, CORPUS.train[:40], CORPUS.dev, CORPUS.test)
    only = Experiment(pairs, replace(TINY, n_monolingual=0), done.folder / "pairs", lambda line: None)
    assert only.source.pieces == done.source.pieces
    assert only.target.pieces == done.target.pieces


def test_what_is_there_is_kept_and_what_is_not_comes_out_the_same(done: Experiment) -> None:
    kept = done.folder / "parallel.0.json"
    kept.write_text(
        kept.read_text(encoding="utf-8").replace('"n_updates": 4', '"n_updates": 4, "kept": true'), encoding="utf-8"
    )
    lost = {name: (done.folder / name).read_bytes() for name in ("strong.1.test.txt", "null.0.test.txt")}
    numbers = {
        name: json.loads((done.folder / name).read_text(encoding="utf-8")) for name in ("strong.1.json", "null.0.json")
    }
    for name in (*lost, *numbers):
        (done.folder / name).unlink()
    Experiment(CORPUS, TINY, done.folder, lambda line: None).run()
    assert json.loads(kept.read_text(encoding="utf-8"))["kept"]
    for name, content in lost.items():
        assert (done.folder / name).read_bytes() == content
    for name, found in numbers.items():
        assert json.loads((done.folder / name).read_text(encoding="utf-8"))["curve"] == found["curve"]


def test_a_folder_of_other_sizes_is_refused_but_more_seeds_are_not(done: Experiment) -> None:
    with pytest.raises(UserError, match="holds an experiment of other sizes"):
        Experiment(CORPUS, replace(TINY, width=18), done.folder)
    Experiment(CORPUS, replace(TINY, seeds=(0, 1, 2)), done.folder)


def test_too_little_text_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="70 pairs to train on, but 140 are asked for"):
        Experiment(CORPUS, replace(TINY, n_parallel=110), tmp_path)


def test_the_summary_holds_none_of_the_text(done: Experiment) -> None:
    found = comparison.summary(done.folder, (0, 1), [target for _, target in CORPUS.test])
    text = json.dumps(found)
    assert not any(sentence in text for pair in CORPUS.test for sentence in pair)
    assert set(found["arms"]) == set(ARMS)
    assert len(found["differences"]) == len(comparison.QUESTIONS)
    assert found["arms"]["null"]["test_bleu"] == [
        json.loads((done.folder / f"null.{seed}.json").read_text(encoding="utf-8"))["test_bleu"] for seed in (0, 1)
    ]


def test_an_arm_that_has_not_ended_is_left_out(done: Experiment, tmp_path: Path) -> None:
    assert comparison.read_arm(tmp_path, "null", (0, 1), []) is None
    arm = comparison.read_arm(done.folder, "null", (0, 7), [target for _, target in CORPUS.test])
    assert arm is not None and arm.seeds == [0]


def arm(name: str, seeds: list[int], said: list[str], references: list[str]) -> Arm:
    scored = counts(said, references)
    look = {"updates": 1, "train": 1.0, "dev": 2.5}
    n = len(seeds)
    return Arm(name, seeds, [50.0] * n, [1.0] * n, [2.5] * n, [[look]] * n, [scored] * n)


def test_a_difference_has_the_right_sign_and_only_common_seeds() -> None:
    references = [
        f"the {a} dog runs in the {b} house ." for a in ("red", "big", "old") for b in ("new", "low", "far")
    ] * 5
    good = arm("strong", [0, 1, 2], references, references)
    bad = arm("parallel", [0, 2], [line.replace("dog runs", "cat sleeps") for line in references], references)
    found = difference(good, bad)
    assert found["bleu"] > 0 and found["interval"][0] > 0 and verdict(found) == "better"
    assert len(found["per_seed"]) == 2
    back = difference(bad, good)
    assert back["bleu"] == pytest.approx(-found["bleu"]) and verdict(back) == "worse"
    assert verdict({"interval": [-0.1, 0.2]}) == "undecided"


def test_the_table_shows_gap_and_interval() -> None:
    found = {
        "reverse": {"strong": {"dev_bleu": 16.84}},
        "arms": {
            "parallel": {"test_bleu": [10.0, 12.0], "train": [1.0, 2.0], "dev": [2.5, 2.5]},
            "strong": {"test_bleu": [13.0], "train": [1.5], "dev": [2.0]},
        },
        "differences": [
            {"of": "strong", "against": "parallel", "bleu": 2.0, "interval": [1.5, 2.51], "per_seed": [3.0]}
        ],
    }
    lines = report(found).splitlines()
    assert lines[2] == "| pairs only | - | **11.0** (10.0, 12.0) | 1.500 | 2.500 | 1.000 |"
    assert lines[3].split(" | ")[1:3] == ["16.8", "**13.0** (13.0)"]
    assert lines[-1] == "| strong against parallel | +2.00 | +1.50 to +2.51 | +3.00 | better |"


def test_the_command_writes_tables_picture_and_numbers_beside_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(back_translation.SIZES, "toy", replace(TINY, seeds=(0,)))
    monkeypatch.setattr(back_translation, "read", lambda name, folder: CORPUS)
    page = tmp_path / "back-translation.md"
    page.write_text("<!-- results toy -->\n<!-- /results toy -->\n", encoding="utf-8")
    back_translation.main(["toy", "-o", str(tmp_path / "out"), "--page", str(page), "--width", "8"])
    assert "| strong against parallel |" in page.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out/sizes.json").read_text(encoding="utf-8"))["width"] == 8
    assert "dev set minus pairs" in (tmp_path / "back-translation.toy.svg").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "back-translation.toy.json").read_text(encoding="utf-8"))["n_test"] == 10


def test_text_that_is_somewhere_must_be_told_where() -> None:
    with pytest.raises(UserError, match="the text korean needs the folder it lies in"):
        back_translation.read("korean", None)


def test_shipped_sizes_fit_their_text() -> None:
    corpus = back_translation.read("toy", None)
    sizes = back_translation.SIZES["toy"]
    assert len(corpus.train) >= sizes.n_parallel + sizes.n_monolingual
    for one in back_translation.SIZES.values():
        assert list(one.reverse_updates) == sorted(set(one.reverse_updates))


def test_without_bleu_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was once missed after the training, 39 s later."""
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(UserError, match=r"pip install 'moksori\[studies\]'"):
        back_translation.main(["toy", "-o", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
