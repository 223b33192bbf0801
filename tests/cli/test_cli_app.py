"""The command as a whole: help, version, exit codes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from calling import Moksori
from typer import rich_utils

import moksori as package
from moksori import checkpoint, errors
from moksori.cli import app, console, convert
from moksori.evaluation.report import data as reports
from moksori.evaluation.report.data import CONVERSION, Item, Report
from moksori.progress import Progress

VERBS = sorted(command.name or "" for command in app.app.registered_commands)


def test_version(moksori: Moksori) -> None:
    assert moksori("--version") == (0, f"moksori {package.__version__}\n", "")


def test_the_script_is_this_command() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("moksori"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"moksori {package.__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_verb_and_exit_code(moksori: Moksori, option: str) -> None:
    done = moksori(option)
    assert done.code == 0
    assert set(VERBS) >= {"prepare", "train", "convert", "evaluate", "info"}
    for verb in VERBS:
        assert verb in done.out
    answer = {int(code) for code in re.findall(r"(\d+)\s+[a-z]", done.out.split("Exit codes:")[1])}
    found = [errors.UserError, *errors.UserError.__subclasses__()]
    kinds = [kind for kind in found if kind.__module__ == errors.__name__]  # a room may have more words, not codes
    assert answer >= {0, 2, 130, convert.SOME_FAILED, *(kind.exit_code for kind in kinds)}
    assert len({kind.exit_code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_a_word_on_every_option(moksori: Moksori, verb: str) -> None:
    done = moksori(verb, "--help")
    assert done.code == 0
    assert f"moksori {verb}" in done.out
    (command,) = (command for command in app.app.registered_commands if command.name == verb)
    assert command.callback is not None
    assert command.callback.__doc__
    parameters = typer.main.get_command(app.app).commands[verb].params  # type: ignore[attr-defined]
    assert parameters
    assert [parameter.name for parameter in parameters if not parameter.help] == []


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("verb", [("train",), ("wavenet", "train")])
def test_help_breaks_its_lines_where_the_terminal_ends(
    moksori: Moksori, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], width: int
) -> None:
    """The line ends of the source once stood in it, so that every second line was of two words."""
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", width)
    answer = moksori(*verb, "--help").out.split("╭")[0]
    assert max(map(len, answer.splitlines())) <= width
    paragraphs = [paragraph.split("\n") for paragraph in re.split(r"\n *\n", answer)]
    broken = [pair for lines in paragraphs for pair in itertools.pairwise(filter(None, map(str.strip, lines)))]
    assert broken
    short = [line for line, after in broken if len(f" {line} {after.split()[0]} ") <= width]
    assert short == []


def test_wrong_usage_exits_with_2(moksori: Moksori) -> None:
    assert moksori("sing").code == 2
    assert moksori("convert", "--loud").code == 2
    assert moksori().code in (0, 2)  # prints the help; newer versions of typer call it wrong usage


@pytest.mark.parametrize("kind", [errors.UserError, *errors.UserError.__subclasses__()])
def test_an_error_for_people_is_a_message_and_its_exit_code(
    moksori: Moksori, monkeypatch: pytest.MonkeyPatch, kind: type[errors.UserError], tmp_path: Path
) -> None:
    def fail(path: Path) -> None:
        raise kind("song.wav: too beautiful")

    monkeypatch.setattr("moksori.cli.info._facts", fail)
    assert moksori("info", tmp_path) == (kind.exit_code, "", "moksori: song.wav: too beautiful\n")


def test_an_error_of_ours_keeps_its_traceback(
    moksori: Moksori, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("moksori.cli.info._facts", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        moksori("info", tmp_path)


class TestInfo:
    def test_it_tells_singers_terms_and_origin(self, moksori: Moksori, model_file: Path) -> None:
        done = moksori("info", model_file)
        assert done.code == 0
        for words in ("bass, tenor", "1000 Hz", "recipe tiny", "7 steps", "free to all"):
            assert words in done.out

    def test_without_a_model_it_tells_the_shipped_voice(self, moksori: Moksori) -> None:
        assert "singers" in (answer := moksori("info").out) and "scottpoid" in answer

    def test_json_parses(self, moksori: Moksori, model_file: Path) -> None:
        found = json.loads(moksori("info", model_file, "--json").out)
        assert found["singers"] == ["bass", "tenor", "../목소리\n"]
        assert found["config"]["sample_rate"] == 1000
        assert found["provenance"]["steps"] == 7
        assert all(count > 0 for count in found["parameters"].values())

    def test_curves_are_of_runs(self, moksori: Moksori, model_file: Path) -> None:
        for given, name in (([model_file], str(model_file)), ([], "the shipped voice")):
            done = moksori("info", *given, "--losses")
            assert (done.code, done.out) == (1, "")
            assert f"{name}: has no journal; --losses asks for the folder of a training run" in done.err

    def test_no_model_there(self, moksori: Moksori, tmp_path: Path) -> None:
        done = moksori("info", tmp_path)
        assert done.code == 5
        assert "no such file" in done.err

    def test_what_a_terminal_would_obey_is_shown_as_text(
        self, moksori: Moksori, tmp_path: Path, model_file: Path
    ) -> None:
        # The terms of a stranger's model file once cleared the screen.
        model, provenance = checkpoint.read_model(model_file)
        path = tmp_path / "strange.safetensors"
        checkpoint.write_model(path, model, dataclasses.replace(provenance, licence_note="free\x1b[2J\nfor all"))
        assert "free\\x1b[2J\nfor all" in moksori("info", path).out
        assert "\x1b" not in moksori("info", tmp_path / "\x1b[2J").err


class TestFileLabels:
    @pytest.mark.parametrize("name", ["가" * 100, "🎤" * 100, "../x", "a:b", "\x1b[2J"])
    def test_a_label_is_short_and_no_path(self, name: str) -> None:
        label = console.file_label(name)
        assert 0 < len(label.encode()) <= 80
        assert "/" not in label and label.isprintable()


class TestPlainStream:
    def test_a_long_work_says_now_and_then_how_far_it_is(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # A judge was taught for twenty minutes without a word in the log.
        now = 0.0
        monkeypatch.setattr(console.time, "monotonic", lambda: now)
        with console.counted("preparing") as progress, console.staged() as stage:
            for step in range(7):
                now = 10.0 * step
                progress(Progress(step, 9, "song.wav"))
                stage(Progress(step, 6, "teaching"))
        said = capsys.readouterr().err.splitlines()
        assert said == ["preparing: 3 of 9", "teaching: 3 of 6", "preparing: 6 of 9", "teaching: 6"]


class TestCompare:
    @pytest.fixture
    def answer(self, tmp_path: Path) -> Path:
        item = Item("c", CONVERSION, "a/1.wav", "a", "b", 0.0, {"identified": 1.0}, {"own": "b"})
        return reports.save(Report("t", "c", "d", "s", [], [], [], [item], {}, [], [], {}, {}), tmp_path)

    def test_the_table_is_written_whatever_is_printed(self, moksori: Moksori, answer: Path, tmp_path: Path) -> None:
        table = tmp_path / "new" / "table.md"
        done = moksori("compare", answer, answer, "--json", "-o", table)
        assert done.code == 0, done.err
        assert json.loads(done.out)["n_pairs"] == {CONVERSION: 1}
        assert table.read_text(encoding="utf-8").startswith("# ")

    def test_a_place_that_cannot_be_written_is_told(self, moksori: Moksori, answer: Path) -> None:
        done = moksori("compare", answer, answer, "-o", answer / "table.md")
        assert done.code == 1
        assert "report.json is no folder; choose another place" in done.err


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5H", 5400), ("0.5s", 0.5)]
    )
    def test_durations_are_read(self, text: str, seconds: float) -> None:
        assert console.duration_seconds(text) == seconds

    @pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "1h30", "infm", "nan"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        with pytest.raises(errors.UserError, match="is not a duration"):
            console.duration_seconds(text)

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h 00 min"), (7260, "2 h 01 min")]
    )
    def test_durations_are_written(self, seconds: float, text: str) -> None:
        assert console.duration_text(seconds) == text

    def test_a_minute_is_not_sixty_seconds(self) -> None:
        assert console.duration_text(59.7) == "1 min"
