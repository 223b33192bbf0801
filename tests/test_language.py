"""Every sentence that is said has its Korean, with the same places, and there is none that nobody says."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from moksori import checkup, language
from moksori.audio import traces
from moksori.errors import UserError
from moksori.evaluation.judges.resemblyzer import CentroidClassifier
from moksori.evaluation.judges.singer import NetClassifier
from moksori.evaluation.report import data, pages, scales
from moksori.language import ENGLISH, Words

SRC = Path(language.__file__).parent
KOREAN = language.table("ko")


def said() -> set[str]:
    """Sentences in the source: `say("...")` in Python, `t("...")` in templates, and the tables that go through them."""
    found: set[str] = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in ("say", "self._say"):
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found.add(text.value)
    for path in (SRC / "evaluation" / "templates").iterdir():
        found |= set(re.findall(r'\bt\("((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8")))
    return found | TABLES


TABLES = {
    *(metric.label for metric in data.METRICS.values()),
    *(metric.meaning for metric in data.METRICS.values()),
    *data.ROWS,
    *(row.capitalize() for row in data.ROWS if row != data.CHANCE),
    *pages.ROW_MEANINGS.values(),
    *pages._GROUPS.values(),
    *scales.KNOWN.values(),
    *scales.OTHER_NAMES.values(),
    *(CentroidClassifier.description, NetClassifier.description),
    *("The best", "The weakest", "Others, spread over the singers", "Conversions"),
    *("Inside the model, on held-out recordings", "moved in pitch only", "target"),
    *("an offset or a rumble below every voice was taken out",),
    traces.FLAT,
    *("clicks stand out above the voice; they were left out of account when its level was set",),
    *("singer", "minutes", "recordings", "held out", "range", "clipping", "noise", "doubles", "verdict"),
    *("good", "fair", "poor", "unvoiced", "{n} conversions"),
    *("processor", "cores", "system", "engine", "extra", "package", "cache", "disk of the cache", "disk here"),
    *("read", "track", "encode", "sing", "write", *(extra.gives for extra in checkup.EXTRAS.values())),
}


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_sentence_has_its_korean() -> None:
    assert sorted(said() - KOREAN.keys()) == []


def test_no_korean_is_left_over() -> None:
    assert sorted(KOREAN.keys() - said()) == []


def test_a_translation_has_the_same_places_and_is_korean() -> None:
    assert {text for text in KOREAN if places(KOREAN[text]) != places(text)} == set()
    plain = {text: re.sub(r"\{\w+\}", "", korean) for text, korean in KOREAN.items()}
    foreign = {
        text for text, korean in plain.items() if re.search("[A-Za-z]", korean) and not re.search("[가-힣]", korean)
    }
    assert foreign == {"raw chroma accuracy (RCA)", "CER, by Whisper"}  # names


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "kok_IN.UTF-8"}, "en"),  # Konkani
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ko_KR.UTF-8", "LANG": "en_US.UTF-8"}, "ko"),
    ],
)
def test_the_environment_says_which_language(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language.choose() == expected
    assert language.choose("en") == "en" and language.choose("ko") == "ko"


def test_a_language_that_we_do_not_speak_is_refused() -> None:
    with pytest.raises(UserError, match="unknown language 'fr'; expected en or ko"):
        language.choose("fr")


def test_what_has_no_translation_stays_english_and_braces_of_others_stay() -> None:
    assert Words("ko")("nobody says {this}") == ENGLISH("nobody says {this}") == "nobody says {this}"
