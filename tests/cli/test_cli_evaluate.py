"""`moksori evaluate`, `compare`, `listen` and `train --report`, as a user calls them."""

from __future__ import annotations

import json
import secrets
import tempfile
from pathlib import Path

import pytest
from calling import Moksori

from moksori.data.corpus import Corpus
from moksori.workers.places import Place

pytestmark = pytest.mark.usefixtures("quick_judges")


def test_from_training_to_report_to_comparison_to_listening_test(
    moksori: Moksori, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained = moksori(
        "train", tiny_corpus.folder, "-o", run, "--recipe", tiny_recipe_file, "--max-steps", 2, "--report"
    )
    assert trained.code == 0, trained.err
    assert "Read and listen:" in trained.out
    report = run / "report"
    assert {path.name for path in report.iterdir()} >= {"report.html", "report.md", "report.json", "audio"}
    answer = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert answer["curves"]
    assert answer["command"].startswith("moksori evaluate")

    again = moksori(
        "evaluate", run, tiny_corpus.folder, "-o", tmp_path / "again", "--clips", 1, "--backend", "streaming", "--json"
    )
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert found["rows"][0]["name"] == "conversion"
    assert found["model"]["backend"] == "streaming" and found["command"].endswith("--backend streaming")

    compared = moksori("compare", report, tmp_path / "again" / "report.json", "-o", tmp_path / "compared.md")
    assert compared.code == 0, compared.err
    assert "no clear difference" in compared.out
    assert (tmp_path / "compared.md").read_text(encoding="utf-8") == compared.out
    assert json.loads(moksori("compare", report, report, "--json").out)["cautions"] == []

    made = moksori("listen", "make", report, "-o", tmp_path / "test", "--per-row", 2)
    assert made.code == 0, made.err
    assert (tmp_path / "test" / "publish" / "index.html").is_file()
    asked = moksori("listen", "analyse", tmp_path / "test", tmp_path / "nobody.csv")
    assert asked.code == 4
    assert "nobody.csv" in asked.err


def test_data_and_report_may_lie_behind_urls(
    moksori: Moksori, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    run, (data, out) = tmp_path / "run", (Place.of(f"memory://{secrets.token_hex(4)}/{name}") for name in "dr")
    assert moksori("train", tiny_corpus.folder, "-o", run, "-r", tiny_recipe_file, "--max-steps", 1).code == 0
    for path in tiny_corpus.folder.rglob("*"):
        if path.is_file():
            data.write(path.relative_to(tiny_corpus.folder).as_posix(), path.read_bytes())
    command = ("evaluate", run, data.root, "-o", out.root, "--clips", 1)
    printed = moksori(*command)
    assert printed.code == 0, printed.err
    assert f"Read and listen: {out.root}/report.html" in printed.out
    report = json.loads(out.read("report.json") or b"{}")
    assert report["command"].startswith(f"moksori evaluate {run} {data.root} -o {out.root} --split test ")
    assert any(name.startswith("audio/") for name in out.listing().n_bytes)
    assert any(name.startswith("judges/") for name in data.listing().n_bytes)
    assert tempfile.gettempdir() + "/moksori-" not in str(out.read("report.json")) + str(out.read("report.html"))
    assert moksori("evaluate", run, tiny_corpus.folder, "-o", tmp_path / "here", "--clips", 1).code == 0
    here = json.loads((tmp_path / "here" / "report.json").read_text(encoding="utf-8"))
    assert here["rows"] == report["rows"]

    other = moksori("evaluate", run, data.root, "-o", out.root, "--clips", 2)
    assert other.code == 1 and f"{out.root}: holds the report of another evaluation" in other.err
    nothing = moksori("evaluate", run, f"{data.root}/nothing", "-o", tmp_path / "no")
    assert nothing.code == 4 and f"{data.root}/nothing: no manifest.json here" in nothing.err


def test_only_the_pairs_of_a_list_are_judged(
    moksori: Moksori, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    run, (first, second) = tmp_path / "run", tiny_corpus.singers
    assert moksori("train", tiny_corpus.folder, "-o", run, "-r", tiny_recipe_file, "--max-steps", 1).code == 0
    source = tiny_corpus.of("test", first)[0].source
    (tmp_path / "pairs.tsv").write_text(f"source\ttarget\n{source}\t{second}\n", encoding="utf-8")
    answer = moksori(
        "evaluate", run, tiny_corpus.folder, "-o", tmp_path / "r", "--pairs", tmp_path / "pairs.tsv", "--json"
    )
    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    assert [row["n"] for row in report["rows"] if row["name"] == "conversion"] == [1]
    assert "--pairs" in report["command"] and "--clips" not in report["command"]
    both = moksori("evaluate", run, tiny_corpus.folder, "-o", tmp_path / "r", "--pairs", "x.csv", "--clips", 2)
    assert both.code == 1 and "leave one of them out" in both.err


def test_without_a_report_there_is_a_quick_look_inside(
    moksori: Moksori, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert moksori("train", tiny_corpus.folder, "-o", run, "-r", tiny_recipe_file, "--max-steps", 1).code == 0
    looked = moksori("evaluate", run, tiny_corpus.folder)
    assert looked.code == 0, looked.err
    assert "reconstruction loss, nats a sample" in looked.out
    assert "-o REPORT" in looked.err


OF_CONVERSIONS = [
    "--clips=3",
    "--pairs=pairs.csv",
    "--parallel=words",
    "--transpose=0",
    "--temperature=1",
    "--backend=int8",
]
OF_REPORTS = ["--texts=words.csv", "--tracker=pyin", "--players=0"]


@pytest.mark.parametrize("option", OF_CONVERSIONS + OF_REPORTS)
def test_what_counts_only_in_a_report_is_refused_without_one(
    moksori: Moksori, tiny_corpus: Corpus, tmp_path: Path, option: str
) -> None:
    unused = moksori("evaluate", tmp_path, tiny_corpus.folder, option)  # once ignored, even as the default's value
    assert unused.code == 1
    assert f"{option.split('=')[0]}: counts only where a report is written; add -o REPORT" in unused.err


@pytest.mark.parametrize("option", OF_CONVERSIONS)
def test_how_to_convert_is_not_said_of_what_others_converted(
    moksori: Moksori, tiny_corpus: Corpus, tmp_path: Path, option: str
) -> None:
    given = ("evaluate", tiny_corpus.folder, "--conversions", tmp_path)
    for unused in (moksori(*given, option), moksori(*given, "-o", tmp_path / "report", option)):
        assert unused.code == 1
        assert f"{option.split('=')[0]}: the conversions are there already" in unused.err


def test_wrong_calls_say_what_is_expected(moksori: Moksori, tiny_corpus: Corpus, tmp_path: Path) -> None:
    one = moksori("evaluate", tiny_corpus.folder, "-o", tmp_path / "r")
    assert one.code == 1
    assert "moksori evaluate MODEL DATA" in one.err
    split = moksori("evaluate", tiny_corpus.folder, tiny_corpus.folder, "--split", "train")
    assert split.code == 1
    assert "expected test or validation" in split.err
    nowhere = moksori("evaluate", tiny_corpus.folder, "--conversions", tmp_path)
    assert nowhere.code == 1
    assert "needs -o REPORT" in nowhere.err
    empty = moksori("evaluate", tiny_corpus.folder, "--conversions", tmp_path, "-o", tmp_path / "r")
    assert empty.code == 4
    assert "found 0 CSV files" in empty.err
    missing = moksori("compare", tmp_path / "a", tmp_path / "b")
    assert missing.code == 4
    assert "moksori evaluate" in missing.err
