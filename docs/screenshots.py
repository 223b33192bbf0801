"""Pictures of the studio for the guide: python docs/screenshots.py; needs the extra [dev] and Chromium.

A studio is opened in a folder of its own, brought the demo's song and singers, and looked at in both languages.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[1]
SONG, SINGERS = ROOT / "demo" / "arirang.flac", ROOT / "demo" / "singers"
WIDE: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_GAP = 24  # pixels between two phones
_COLOURS = 128  # are enough for a page, and a third of the bytes


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "moksori", "studio", "--folder", folder, "--port", "0", "--no-browser"]
        studio = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        assert studio.stderr is not None
        address = studio.stderr.readline().split(" at ")[1].split()[0]
        try:
            with sync_playwright() as playwright:
                found = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
                page = browser.new_page(locale="en")
                _prepare(page, address)
                for language in ("en", "ko"):
                    wide = browser.new_page(viewport=WIDE, locale=language)
                    _take_wide(wide, address, language)
                    _take_phone(
                        browser.new_page(viewport=PHONE, locale=language, color_scheme="dark"), address, language
                    )
                browser.close()
        finally:
            studio.terminate()
            studio.wait()


def _prepare(page: Page, address: str) -> None:
    """A song, a conversion, a voice that took a singer up, and a short training."""
    page.goto(address)
    page.set_input_files("#files", str(SONG))
    page.wait_for_selector("#stage:visible", timeout=120_000)
    page.check("input[value=kumi]")
    page.wait_for_selector("#convert:not([disabled])")
    page.click("#convert")
    page.wait_for_selector("li[data-state=done]", timeout=120_000)
    page.goto(f"{address}voices")
    card = page.locator("[data-voice=shipped]")
    card.locator(".change summary").click()
    card.locator("input[type=file]").set_input_files([str(path) for path in sorted((SINGERS / "syn_tenor").iterdir())])
    card.locator("[id^=enrol-name]").fill("Minho")
    card.locator("[id^=enrol-terms]").fill("CC BY 3.0, Nagoya Institute of Technology")
    card.locator(".enrol button[type=submit]").click()
    page.locator("article", has_text="+ Minho").wait_for(timeout=300_000)
    page.goto(f"{address}train")
    page.fill("#new-name", "Four invented singers")
    page.click("#new button")
    page.wait_for_selector("#training:visible")
    page.set_input_files("#folder", str(SINGERS))
    page.wait_for_selector("#take-list > li:nth-child(4)")
    page.wait_for_timeout(2000)
    page.click("#check")
    page.wait_for_selector("#doctor:visible", timeout=300_000)
    page.select_option("#recipe", "smoke")
    page.fill("#minutes", "0.5")
    page.click("#start")
    page.wait_for_selector("li[data-state=done]", timeout=300_000)


def _open_song(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#voice option", state="attached", timeout=60_000)
    page.click("#songs .pick")
    page.wait_for_selector("#stage:visible")
    page.check("input[value=kumi]")
    page.locator("#jobs button").first.click()
    page.wait_for_selector("#wave-b:visible")
    page.click("#play")
    page.wait_for_timeout(1200)


def _take_wide(page: Page, address: str, language: str) -> None:
    _open_song(page, address)
    page.click("#editor summary")
    page.focus("#melody")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    _keep(page, language, "convert", whole=True)
    _open_voices(page, address)
    _keep(page, language, "voices", whole=True)
    _open_training(page, address)
    _keep(page, language, "train", whole=True)
    _open_learn(page, address)
    _keep(page, language, "learn", whole=True)


def _open_voices(page: Page, address: str) -> None:
    page.goto(f"{address}voices")
    page.wait_for_selector("[data-voice=shipped] table", timeout=60_000)
    page.locator("article", has_text="+ Minho").locator(".change summary").click()


def _open_training(page: Page, address: str) -> None:
    page.goto(f"{address}train")
    page.click("#trainings .pick")
    page.wait_for_selector("#curves svg")
    page.wait_for_timeout(500)


def _open_learn(page: Page, address: str) -> None:
    page.goto(f"{address}learn")
    page.wait_for_selector("#law .bar")
    page.wait_for_selector("#read:not([disabled])")
    page.click("#read")
    page.wait_for_selector("#readings [data-row=latent]", timeout=300_000)


def _take_phone(page: Page, address: str, language: str) -> None:
    """All pages on a phone, side by side."""
    shots = []
    for opened, place in (
        (_open_song, "#stage-heading"),
        (_open_voices, "article:nth-child(2) h2"),
        (_open_training, "#run-heading"),
        (_open_learn, "#leaks-heading"),
    ):
        opened(page, address)
        page.evaluate("place => document.querySelector(place).scrollIntoView()", place)
        page.wait_for_timeout(300)
        shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    row = Image.new("RGB", (len(shots) * (PHONE["width"] + _GAP) - _GAP, PHONE["height"]), "white")
    for number, shot in enumerate(shots):
        row.paste(shot, (number * (PHONE["width"] + _GAP), 0))
    _write(row, language, "phone")


def _keep(page: Page, language: str, name: str, *, whole: bool = False) -> None:
    """Write what the page looks like."""
    _write(Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB"), language, name)


def _write(picture: Image.Image, language: str, name: str) -> None:
    path = ROOT / "docs" / "guide" / language / "figures" / f"studio-{name}.png"
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
