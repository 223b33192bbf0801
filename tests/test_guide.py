"""The guide is true: both languages hold the same, links lead somewhere, commands run, examples print what they say."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib.util
import math
import re
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import markdown
import numpy as np
import pytest
import synthetic
import typer.main
from tiny_recipes import TINY_ALONE, TINY_RECIPE, TINY_SWIFT
from typer.testing import CliRunner

from moksori.audio import files, signals
from moksori.cli.app import app
from moksori.generation import generator

ROOT = Path(__file__).parents[1]
DOCS, GUIDE = ROOT / "docs", ROOT / "docs" / "guide"
PAGES = sorted(path.relative_to(GUIDE / "en").as_posix() for path in (GUIDE / "en").rglob("*.md"))
NOT_RUN = {"en": "*Not run by the guide's tests", "ko": "*안내서의 테스트에서는 실행하지 않습니다"}


def text_of(language: str, page: str) -> str:
    return (GUIDE / language / page).read_text(encoding="utf-8")


def blocks_of(text: str) -> list[tuple[str, str, str]]:
    """Fenced blocks: language, body, and the paragraph that follows."""
    return re.findall(r"^```(\w*)\n(.*?)^```\n(?=\n*([^\n]*))", text + "\n\n", re.S | re.M)


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(DOCS))


# Both languages


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(path.relative_to(GUIDE / "ko").as_posix() for path in (GUIDE / "ko").rglob("*.md")) == PAGES


def _pages_in(nav: list[dict[str, object]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            if isinstance(value, list):
                yield from _pages_in(value)
            else:
                yield str(value)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_navigation_lists_every_page(language: str) -> None:
    nav = tomllib.loads((GUIDE / f"{language}.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(_pages_in(nav)) == sorted([*PAGES, "NOTES"])


@pytest.mark.parametrize("page", sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda path: path.stem)
def test_a_table_is_in_one_piece(page: Path) -> None:
    # A blank line before the last row of a table once left it standing as text.
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.M):
        rows = table.splitlines()
        assert len(rows) > 1 and re.fullmatch(r"[|:\- ]+", rows[1]), rows[0]


def test_the_settings_of_both_languages_differ_in_words_only() -> None:
    plain = [
        re.sub(r'"[^"\n]*"', '""', re.sub(r"^(#|\[?copyright).*", "", text, flags=re.M))
        for text in ((GUIDE / f"{language}.toml").read_text(encoding="utf-8") for language in ("en", "ko"))
    ]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_code(page: str) -> None:
    english, korean = ([block[:2] for block in blocks_of(text_of(language, page))] for language in ("en", "ko"))
    assert english == korean


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_pictures_sounds_and_formulas(page: str) -> None:
    def shown(language: str) -> list[list[str]]:
        text = text_of(language, page)
        return [re.findall(what, text, re.M) for what in (r"!\[[^\]]*\]\(([^)]*)\)", r'src="([^"]*)"', r"^\$\$.*\$\$$")]

    assert shown("en") == shown("ko")


def test_korean_is_korean() -> None:
    # More than half of the letters outside of code, names and tables of messages.
    for page in PAGES:
        if page in ("api.md", "glossary.md"):
            continue
        prose = re.sub(
            r"```.*?```|`[^`]*`|\([^)]*\)|<[^>]*>|\$[^$]*\$|^:::.*(\n    .*)*",
            "",
            text_of("ko", page),
            flags=re.S | re.M,
        )
        hangul, latin = len(re.findall(r"[가-힣]", prose)), len(re.findall(r"[A-Za-z]", prose))
        assert hangul > 2 * latin, f"{page}: {hangul} Hangul, {latin} Latin letters"


# A word that was tried once, and the field's word that stands everywhere now.
OTHER_WORDS = {
    "선율": "멜로디",
    "프로브": "탐침",
    "심사기": "판별기",
    "매개변수": "파라미터",
    "대상 가수": "목표 가수",
    "방 울림": "잔향",
    "단추": "버튼",
    "우연의": "무작위",
}


@pytest.mark.parametrize("page", [*PAGES, "README.ko.md", "words.toml", "ko.toml", "listening.html"])
def test_a_thing_has_one_korean_word(page: str) -> None:
    package = ROOT / "src" / "moksori"
    elsewhere = {
        "README.ko.md": ROOT / "README.ko.md",
        "words.toml": package / "studio" / "words.toml",
        "ko.toml": package / "languages" / "ko.toml",
        "listening.html": package / "evaluation" / "templates" / "listening.html",
    }
    text = elsewhere[page].read_text(encoding="utf-8") if page in elsewhere else text_of("ko", page)
    assert {word: better for word, better in OTHER_WORDS.items() if word in text} == {}


def test_codes_are_called_mu_law_values_before_they_are_called_codes() -> None:
    """A bare 코드 is a chord to one reader and source code to another."""
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`]*`", "", text_of("en", page), flags=re.S)
        if re.search(r"(?<!xit )\bcodes\b", prose):
            assert "mu-law 값" in text_of("ko", page), page


@pytest.mark.parametrize("language", ["en", "ko"])
def test_who_wants_curves_is_told_how_to_see_them(language: str) -> None:
    written = text_of(language, "commands.md")
    assert "tensorboard --logdir RUN/tensorboard" in written and "moksori info RUN --losses" in written


# Links


def anchors_of(text: str) -> set[str]:
    """Anchors of the headings, as Python-Markdown makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        given = re.search(r"\{#([\w-]+)\}\s*$", heading)
        plain = re.sub(r"[^\w\s-]", "", heading.encode("ascii", "ignore").decode()).strip().lower()
        found.add(given[1] if given else re.sub(r"[-\s]+", "-", plain))
    return found


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str, language: str) -> None:
    here = GUIDE / language / page
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", text_of(language, page)):
        path = (here.parent / target).resolve() if target else here
        if "notes/" in target:
            path = DOCS / target[target.index("notes/") + len("notes/") :]
        assert path.is_file(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors_of(path.read_text(encoding="utf-8")), f"{page} links to {target}#{anchor}"


def test_links_of_the_korean_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / "README.ko.md").read_text(encoding="utf-8"))
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_sounds_of_notes_that_pages_play_exist() -> None:
    played = {name for page in PAGES for name in re.findall(r'src="[./]*notes/([^"]+)"', text_of("en", page))}
    assert not [name for name in played if not (DOCS / name).is_file()]


@pytest.mark.parametrize("page", PAGES)
def test_headings_have_the_same_anchors_so_that_links_work_in_both_languages(page: str) -> None:
    linked = {
        anchor
        for other in PAGES
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]*)\)", text_of("en", other))
        if (GUIDE / "en" / other).parent.joinpath(target).resolve() == (GUIDE / "en" / page).resolve()
    }
    assert linked <= anchors_of(text_of("ko", page))


def test_files_of_the_project_that_pages_name_exist() -> None:
    for page in PAGES:
        for named in re.findall(
            r"`((?:audio|models|data|generation|training|evaluation|recipes)/[\w/]+\.(?:py|toml))`", text_of("en", page)
        ):
            assert (ROOT / "src" / "moksori" / named).is_file(), f"{page}: {named}"
        for named in re.findall(r"`((?:tests|src|demo|docs|benchmarks)/[\w/.-]+\.\w+)`", text_of("en", page)):
            if not named.startswith("demo/arirang.scottpoid"):
                assert (ROOT / named).is_file(), f"{page}: {named}"


def test_messages_that_are_explained_are_messages_of_ours() -> None:
    table = text_of("en", "trouble.md").split("## What the command says")[1].split("\n## ")[0]
    ours = "\n".join(_messages())
    fragments = [
        part
        for line in table.splitlines()
        if line.startswith("| `")
        for part in re.findall(r"`([^`]*)`", line.split("|")[1])
    ]
    assert len(fragments) > 10
    for fragment in fragments:
        for part in fragment.split(" ... "):
            assert part in ours, part


def _messages() -> Iterator[str]:
    """Texts in the source, with what is put in at run time left out."""
    for path in (ROOT / "src" / "moksori").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


# Commands

COMMANDS = [
    (page, line.split("  # ")[0].strip(), NOT_RUN["en"] not in after)
    for page in PAGES
    for kind, body, after in blocks_of(text_of("en", page))
    if kind == "sh"
    for line in body.splitlines()
    if line.strip()
]
MOKSORI = [(page, line, is_run) for page, line, is_run in COMMANDS if line.startswith("moksori ")]


def test_commands_that_are_not_run_are_marked_in_both_languages() -> None:
    for page in PAGES:
        marks = [
            [mark in after for kind, _, after in blocks_of(text_of(language, page)) if kind == "sh"]
            for language, mark in NOT_RUN.items()
        ]
        assert marks[0] == marks[1], page
    others = [line for _, line, is_run in COMMANDS if is_run and not line.startswith(("moksori ", "python docs/"))]
    assert not others, "neither run nor marked"


@pytest.mark.parametrize(("page", "line", "is_run"), MOKSORI)
def test_commands_parse(page: str, line: str, is_run: bool) -> None:
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands") and words != ["--help"]:
        assert words[0] in command.commands, f"{page}: moksori has no verb {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    if words != ["--help"]:
        command.make_context("moksori", words)  # raises for an unknown option, or a value of the wrong kind


def test_verbs_and_options_of_the_table_exist() -> None:
    verbs = typer.main.get_command(app).commands
    rows = [
        line.split("|")[1:4] for line in text_of("en", "commands.md").splitlines() if line.startswith("| `moksori ")
    ]
    assert rows
    for verb, _, options in rows:
        command = verbs[verb.strip(" `").removeprefix("moksori ")]
        known = {name for parameter in command.params for name in parameter.opts} | set(
            getattr(command, "commands", {})
        )
        assert set(re.findall(r"`([^`]*)`", options)) <= known, verb


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page, line, _ in COMMANDS:
        if line.startswith("make "):
            assert line.split()[1] in targets, f"{page}: {line}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the guide's commands work: two invented singers, a song of a second, tiny recipes."""
    desk = tmp_path_factory.mktemp("desk")
    singers = synthetic.SINGERS[:2]
    synthetic.write_corpus(
        desk / "takes", np.random.default_rng(0), singers=singers, n_songs=3, seconds=1.0, sample_rate=8000
    )
    for own, name in zip(singers, ("anna", "minho"), strict=True):
        (desk / "takes" / own.name).rename(desk / "takes" / name)
    # A voice that is only measured needs five seconds.
    anna = (dataclasses.replace(singers[0], name="my-takes"),)
    synthetic.write_corpus(desk, np.random.default_rng(0), singers=anna, n_songs=6, seconds=1.0, sample_rate=8000)
    longer = synthetic.melody(singers[0], 6.0, np.random.default_rng(1))
    take = synthetic.render(longer, singers[0], 8000, np.random.default_rng(1)).clip
    files.write(desk / "my-take.wav", take)
    song = signals.tone(220.0, 1.0, 16_000, amplitude=0.2, n_harmonics=8)
    files.write(desk / "song.mp3", song)
    files.write(desk / "mysong.mp3", song)
    (desk / "demo").mkdir()
    files.write(desk / "demo" / "arirang.flac", song)
    shutil.copytree(desk / "takes", desk / "demo" / "singers")
    (desk / "src" / "moksori").mkdir(parents=True)
    (desk / "src" / "moksori" / "voices").symlink_to(ROOT / "src" / "moksori" / "voices")
    (desk / "tiny.toml").write_text(TINY_RECIPE, encoding="utf-8")
    (desk / "tiny-swift.toml").write_text(TINY_SWIFT, encoding="utf-8")
    (desk / "tiny-alone.toml").write_text(TINY_ALONE, encoding="utf-8")
    theirs = desk / "theirs"
    theirs.mkdir()
    taken = next((desk / "takes" / "anna").glob("*.wav"))
    shutil.copy(taken, theirs / "a.wav")
    rows = [f"{path.relative_to(desk / 'takes').as_posix()},train" for path in (desk / "takes").rglob("*.wav")]
    rows = [row.replace(",train", ",test") if number % 3 == 0 else row for number, row in enumerate(sorted(rows))]
    (desk / "splits.csv").write_text("file,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (theirs / "table.csv").write_text(f"conversion,source,target\na.wav,{taken},minho\n", encoding="utf-8")
    return desk


def _smaller(line: str) -> list[str]:
    """A command of the guide, for the desk: the same verb and options, with tiny nets and two steps."""
    words = shlex.split(line)[1:]
    if "train" in words[:2]:
        for option in ("--for", "--max-steps"):
            if option in words:
                at = words.index(option)
                words[at : at + 2] = ["--max-steps", "2"]
        recipe = "tiny-alone.toml" if words[0] == "wavenet" else "tiny-swift.toml"
        if "--recipe" in words:
            at = words.index("--recipe") + 1
            recipe = recipe if words[at] == "swift" else "tiny.toml"
            del words[at - 1 : at + 1]
        words += ["--recipe", recipe]
    if words[0] == "sweep":
        at = words.index("--for")
        words[at : at + 2] = ["--max-steps", "1", "--clips", "1", "--recipe", "tiny-swift.toml"]
        words[words.index("--seeds") + 1] = "1"
        last = len(words) - 1 - words[::-1].index("--arm")
        del words[last : last + 2]  # each arm is a training and a report
    if words[0] == "convert" or "generate" in words[:2]:
        words.append("--force")
    if words[0] == "evaluate":
        words += ["--players", "1"] if "--conversions" in words else ["--players", "1", "--clips", "1"]
    return words


def _after(option: str, line: str) -> str:
    """What a command says behind one of its options, to the letter: `report` is not `report-theirs`."""
    words = shlex.split(line)
    return words[words.index(option) + 1]


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """Training catches signals; the next test shall not."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_as_before", "quick_judges")
def test_commands_run_on_invented_singers(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In the order of the page that teaches them; other pages lean on what it made.
    monkeypatch.chdir(desk)
    monkeypatch.setattr(generator, "usual_backend", lambda decoder: "streaming")  # compiles nothing
    lines = [line for page, line, is_run in MOKSORI if is_run and page == "first-voice.md"]
    lines += [line for page, line, is_run in MOKSORI if is_run and page in ("recipes.md", "how/back-translation.md")]
    lines += [line for _, line, is_run in MOKSORI if is_run and line not in lines]
    readme = [body for kind, body, _ in blocks_of((ROOT / "README.md").read_text(encoding="utf-8")) if kind == "sh"]
    own = [
        line.split("  # ")[0].strip() for body in readme for line in body.splitlines() if line.startswith("moksori ")
    ]
    assert len(own) >= 3
    lines += [line for line in own if line not in lines]
    lines.sort(key=lambda line: line.startswith("moksori compare"))  # needs two reports
    for line in dict.fromkeys(lines):
        if line.startswith("moksori compare"):
            shutil.copytree("report", "other-report", dirs_exist_ok=True)
        # Each page judges anew, in a folder of its own.
        if line.startswith(("moksori evaluate", "moksori listen make")):
            shutil.rmtree(_after("-o", line), ignore_errors=True)
        found = CliRunner().invoke(app, _smaller(line))
        assert found.exit_code == 0, f"{line}\n{found.output}\n{found.exception!r}"


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in text_of("en", page)])
def test_examples_print_what_they_say(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(body for kind, body, _ in blocks_of(text_of("en", page)) if kind == "python")
    test = doctest.DocTestParser().get_doctest(examples, {}, page, page, 0)
    assert test.examples
    calls: list[str] = []
    flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test, out=calls.append).failed == 0, "".join(calls)


# Figures, losses, sounds


def test_every_figure_is_shown_and_every_picture_is_drawn() -> None:
    drawn = set(script("figures").FIGURES)
    shown = {name for page in PAGES for name in re.findall(r"figures/([\w-]+)\.svg", text_of("en", page))}
    assert drawn == shown
    for language in ("en", "ko"):
        assert drawn == {path.stem for path in (GUIDE / language / "figures").glob("*.svg")}


def test_commands_that_draw_name_figures_that_exist() -> None:
    figures = set(script("figures").FIGURES)
    for page in PAGES:
        for named in re.findall(r"python docs/figures\.py ([\w -]+)", text_of("en", page)):
            assert set(named.split()) <= figures, f"{page}: {named}"


@pytest.mark.parametrize("name", ["stack", "field", "mixup", "loss", "floors", "system"])
def test_figures_are_up_to_date(name: str) -> None:
    figures = script("figures")
    drawing = figures.svg(figures.FIGURES[name]())
    for language, expected in (("en", drawing), ("ko", figures.in_korean(drawing))):
        there = (GUIDE / language / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert _structure(there) == _structure(expected), f"python docs/figures.py {name}"


def _structure(drawing: str) -> str:
    """A drawing without numbers: processors differ in a last digit, and so in which points of a curve lie on a line."""
    without_numbers = re.sub(r"-?\d+\.\d+|p[0-9a-f]{10}", "", drawing)  # the latter are named after numbers
    return re.sub(r"(L\s+)+", "L ", without_numbers)


def test_words_in_korean_figures_are_korean() -> None:
    figures = script("figures")
    names = {"scottpoid", "kumi", "dorodoro", "syn_bass", "syn_child", "syn_sop", "syn_tenor", "mu-law"}
    rooms = {name for name, _ in figures.FLOORS}
    for path in (GUIDE / "ko" / "figures").glob("*.svg"):
        left = {
            words
            for words in figures.words_of(path.read_text(encoding="utf-8"))
            if not re.search(r"[가-힣]", words) and words not in names | rooms and not words.startswith("Beta(")
        }
        assert not left, f"{path.name}: {left}"


@pytest.mark.slow
def test_the_table_of_losses_is_what_the_command_prints() -> None:
    losses = script("losses")
    learnt, held_out = losses.corpus()
    found = [predictor.nats(held_out) for predictor in losses.predictors(learnt).values()]
    assert found[0] == pytest.approx(math.log(256))
    for language in ("en", "ko"):
        written = re.findall(r"\| (\d\.\d\d) \| <audio", text_of(language, "losses.md"))
        assert [float(value) for value in written] == pytest.approx(found, abs=0.0051)


def test_predictors_say_probabilities() -> None:
    losses = script("losses")
    learnt = np.random.default_rng(0).integers(100, 156, 5000)
    linear = losses.predictors(learnt)["linear"]
    law = linear._law(np.random.default_rng(1).uniform(-0.5, 0.5, (50, 16)))
    assert law.min() > 0
    np.testing.assert_allclose(law.sum(axis=1), 1.0, atol=1e-9)


def test_sounds_that_pages_play_are_made() -> None:
    played = {name for page in PAGES for name in re.findall(r"sounds/([\w.]+)\.mp3", text_of("en", page))}
    source = (DOCS / "sounds.py").read_text(encoding="utf-8")
    singers = re.search(r"SINGERS = \(([^)]*)\)", source)
    assert singers is not None
    made = {"arirang", "arirang.between", "soft.mulaw", "soft.even"}
    made |= {f"arirang.{name}" for name in re.findall(r'"(\w+)"', singers[1])}
    made |= {f"babble.{name}" for name in script("losses").predictors(np.arange(256).repeat(4))}
    assert played <= made


# Building


def test_formulas_become_mathml_but_not_in_code() -> None:
    build = script("build")
    assert doctest.testmod(build).failed == 0
    text = "ends in $w$에서 and\n\n$$\nx^2\n$$\n\n```sh\necho $HOME $x$\n```\n"
    drawn = build.with_formulas(text)
    assert drawn.count("<math") == 2
    assert "echo $HOME $x$" in drawn


def test_links_of_notes_to_files_that_are_no_pages_become_names() -> None:
    build = script("build")
    notes = {(DOCS / "log.md").resolve(), (DOCS / "evaluation.md").resolve()}
    text = "[a](evaluation.md) ![c](mixup.svg) [d](https://example.org) [`demo/`](../demo/LICENSE.md)"
    written = build.note_for_site(text, DOCS / "log.md", notes)
    assert written == "[a](evaluation.md) ![c](mixup.svg) [d](https://example.org) `demo/` (`demo/LICENSE.md`)"


def test_the_navigation_is_given_the_notes_by_their_headings() -> None:
    written = script("build").with_notes('nav = [{ "Notes" = "NOTES" }]', {DOCS / "log.md", DOCS / "mixup.md"})
    nav = tomllib.loads(written)["nav"]
    assert nav[0]["Notes"][0] == {"Log of experiments": "notes/log.md"}
    assert list(_pages_in(nav)) == ["notes/log.md", "notes/mixup.md"]


def test_examples_in_docstrings_become_code() -> None:
    extension = script("examples")
    text = "Words.\n\n>>> 1 + 1\n2\n\nMore.\n\n```\n>>> not touched\n```\n"
    html = markdown.markdown(text, extensions=[extension.makeExtension(), "fenced_code"])
    assert html.count("<pre>") == 2
    assert "blockquote" not in html
    assert "&gt;&gt;&gt; 1 + 1\n2\n</code>" in html


@pytest.mark.parametrize(
    "tag", ['<script src="https://a.b/c.js">', '<link rel=x href="https://a.b">', "<img src=https://a.b/c.png>"]
)
def test_what_would_be_fetched_from_elsewhere_is_found(tag: str) -> None:
    build = script("build")
    assert build._FOREIGN.findall(tag)
    assert not build._FOREIGN.findall('<a href="https://a.b">a link is no fetching</a>')


def test_the_language_switch_leads_to_the_same_page_and_is_a_plain_link() -> None:
    """From a disk the theme's script once took the click, and led to a list of the folder."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(GUIDE / "theme"), autoescape=True)
    environment.filters["url"] = lambda link: f"../{link}"
    settings = tomllib.loads((GUIDE / "en.toml").read_text(encoding="utf-8"))["project"]
    drawn = environment.get_template("partials/alternate.html").render(
        page={"url": "how/sound.html"},
        config={"extra": settings["extra"], "theme": {"language": settings["theme"]["language"]}},
    )
    (link,) = re.findall(r"<a [^>]*>", drawn)
    assert 'href="../../ko/how/sound.html"' in link and 'target="_self"' in link  # such a link the script leaves alone


@pytest.mark.parametrize("language", ["en", "ko"])
def test_tacotron_argmax_and_every_paper_with_its_link_are_in_the_glossary(language: str) -> None:
    text = text_of(language, "glossary.md")
    papers = [line for line in text.split("## ")[-1].splitlines() if re.match(r"\| .* 20\d\d \|", line)]
    assert "argmax" in text and sum("Tacotron" in paper for paper in papers) == 2 and len(papers) >= 12
    assert [paper for paper in papers if "](https://arxiv.org/abs/" not in paper] == []


def test_setting_up_says_how_much_it_fetches_before_it_does() -> None:
    """`make demo` was silent for minutes on a slow line."""
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n")
    fetching = [rule for rule in rules if "\n$(READY" in f"\n{rule}" and "$(LOCKED)" in rule]
    assert len(fetching) == 3
    assert all(0 < rule.index("setting up .venv: 1.4 GB") < rule.index("$(LOCKED)") for rule in fetching)


def test_the_search_box_speaks_korean() -> None:
    """The theme's script says what stands in the box, in English whatever the page's language."""
    theme = pytest.importorskip("zensical").__path__[0]
    (script_file,) = (Path(theme) / "templates" / "assets" / "javascripts").glob("bundle*.js")
    build, theirs = script("build"), script_file.read_text(encoding="utf-8")
    ours = build.search_box_in_korean(theirs)
    assert [text for text in build.SEARCH_BOX_KO if text in ours] == []
    assert 'placeholder:"검색어를 입력하세요"' in ours and len(ours) > 0.99 * len(theirs)
    with pytest.raises(SystemExit, match="no longer has"):
        build.search_box_in_korean(ours)
