"""Whoever comes: by keyboard, by ear, in the dark, on a phone, and without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import open_page, until
from serving import ARIRANG, Served

PAGES = ("", "voices", "train", "learn")


def look_closely(page: Any) -> list[str]:
    """What axe-core finds wrong with a page: the rule, and the first element."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script + "; undefined")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [f"{one['id']}: {json.dumps(one['nodes'][0]['html'][:160])}" for one in found["violations"]]


@pytest.fixture(scope="module")
def training(studio: Served) -> str:
    """A training whose recordings were looked at."""
    number: str = studio.ask("POST", "/api/trainings", {"name": "looked at"}).json["id"]
    headers = {"X-Name": "a.flac", "X-Singer": "anna"}
    studio.ask("POST", f"/api/trainings/{number}/takes", headers=headers, raw=ARIRANG.read_bytes())
    studio.ask("POST", f"/api/trainings/{number}/check")
    studio.wait("/api/trainings", number, "checked")
    return number


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_any_page(browser: Any, studio: Served, training: str, scheme: str) -> None:
    song = studio.bring(ARIRANG)
    request = {"song": song["id"], "shares": {"kumi": 1.0}}
    studio.wait("/api/jobs", studio.ask("POST", "/api/jobs", request).json["id"], "done")
    for page in open_page(browser, studio, color_scheme=scheme, locale="ko" if scheme == "dark" else "en"):
        page.click(f"[data-song='{song['id']}'] .pick")
        page.wait_for_selector("#stage:visible")
        page.click("#editor summary")
        page.check("#mix")
        page.locator("#share-3").fill("40")
        page.locator("#share-5").fill("20")
        page.wait_for_selector("#pad:visible")
        assert look_closely(page) == []
        for name, ready in (
            ("voices", "[data-voice=shipped] table"),
            (f"train?training={training}", "#doctor:visible"),
            ("learn", "#law .bar"),
        ):
            page.goto(studio.address + name)
            page.wait_for_selector(ready)
            assert look_closely(page) == [], name


def test_one_singer_is_offered_five_minutes_from_the_shipped_voice_in_their_words(
    browser: Any, studio: Served, training: str
) -> None:
    for page in open_page(browser, studio, locale="ko"):
        page.goto(f"{studio.address}train?training={training}")
        until(page, "document.querySelector('#base').value === 'shipped'")
        assert page.input_value("#recipe") == "adapt" and page.input_value("#minutes") == "5"
        assert "5분이면 내 목소리로" in page.inner_text("#recipe-about")
        assert "목소리에서 학습을 시작합니다" in page.inner_text("#advice")
        assert page.is_disabled("#base option[value=none]")
        page.select_option("#recipe", "small")
        assert page.is_hidden("#base-field") and page.input_value("#minutes") == "60"


def test_axe_would_find_something(page: Any) -> None:
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [printed for printed in look_closely(page) if printed.startswith("button-name")]


def test_a_song_is_converted_by_keyboard_alone(page: Any, studio: Served) -> None:
    song = studio.bring(ARIRANG)
    page.reload()
    page.wait_for_selector(f"[data-song='{song['id']}']")

    def go_to(selector: str) -> None:
        for _ in range(80):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} is never reached")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    go_to(f"[data-song='{song['id']}'] .pick")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage:visible")
    page.wait_for_selector("#convert:not([disabled])")
    go_to("#convert")
    n_before = page.locator("#jobs li").count()
    page.keyboard.press("Enter")
    until(page, "n => document.querySelectorAll('#jobs li').length > n", n_before)
    page.wait_for_selector("#jobs li:first-child[data-state=done]")
    until(page, "document.querySelector('#live').textContent.endsWith(' is done.')")  # told to those who listen
    go_to("#play")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#play').textContent === 'Pause'")


@pytest.mark.parametrize("width", [390, 1920])
def test_nothing_overflows_from_a_phone_to_a_wide_screen(
    browser: Any, studio: Served, training: str, width: int
) -> None:
    song = studio.bring(ARIRANG)
    for page in open_page(browser, studio, viewport={"width": width, "height": 844}, locale="ko"):
        page.click(f"[data-song='{song['id']}'] .pick")
        page.wait_for_selector("#stage:visible")
        page.click("#editor summary")
        page.check("#mix")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("voices", f"train?training={training}", "learn"):
            page.goto(studio.address + name)
            page.wait_for_timeout(400)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_pages_ask_nobody_but_the_studio(browser: Any, studio: Served) -> None:
    asked: list[str] = []
    for page in open_page(browser, studio):
        page.on("request", lambda request: asked.append(request.url))
        for name in PAGES:
            page.goto(studio.address + name)
            page.wait_for_timeout(200)
        assert len(asked) > 20
        assert [url for url in asked if not url.startswith((studio.address, "data:"))] == []
