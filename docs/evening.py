"""Pictures of the first evening: python docs/evening.py WORK; needs the extra [dev], Chromium and half an hour or more.

Two invented singers with one long take each are brought; then the commands of the page are given in a terminal of 80
columns, as a person would give them. What the terminal shows becomes SVG, what the report shows PNG, in both languages.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
COLUMNS = 80
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_COLOURS = 128  # are enough for a page, and a third of the bytes
_SECONDS = 180.0  # of each take

# Name of the picture, none where a page is what is to be seen; the command; and the share of its time at which the
# terminal is looked at.
PICTURES = (
    ("evening-prepare", "moksori prepare takes -o data", 1.0),
    ("evening-train", "moksori train takes -o runs/duo --for {budget}", 0.8),
    ("evening-trained", "moksori train takes -o runs/duo --for {budget}", 1.0),
    ("", "moksori evaluate runs/duo runs/duo/data -o report --clips 1 --whisper none", 1.0),
    ("evening-convert", "moksori convert song.wav -m runs/duo -s minho --page listen.html", 1.0),
)
_CSI = re.compile(rb"\x1b\[([?\d;]*)([A-Za-z])")
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: {char_height}px; line-height: {line_height}px;
}}
{styles}
</style>
<defs>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


class Screen:
    """What a terminal shows: enough of one for carriage returns, lines that are erased, and cursors that go up."""

    def __init__(self) -> None:
        self.lines: list[list[tuple[str, str]]] = [[]]  # of (letter, its colours)
        self._row = self._column = 0
        self._style = ""

    def feed(self, content: bytes) -> None:
        """Take output."""
        at = 0
        while at < len(content):
            if found := _CSI.match(content, at):
                self._control(found[1].decode(), found[2].decode())
                at = found.end()
                continue
            end = at + 1
            while end < len(content) and content[end] & 0xC0 == 0x80:  # the rest of a letter in UTF-8
                end += 1
            self._letter(content[at:end].decode(errors="replace"))
            at = end

    def _letter(self, letter: str) -> None:
        if letter == "\r":
            self._column = 0
        elif letter == "\n":
            self._row += 1
            while len(self.lines) <= self._row:
                self.lines.append([])
        elif letter >= " ":
            line = self.lines[self._row]
            line.extend([(" ", "")] * (self._column + 1 - len(line)))
            line[self._column] = (letter, self._style)
            self._column += 1

    def _control(self, numbers: str, kind: str) -> None:
        if kind == "m":
            self._style = "" if numbers in ("", "0") else f"{self._style}\x1b[{numbers}m"
        elif kind == "A":
            self._row = max(0, self._row - int(numbers or 1))
        elif kind == "K":
            self.lines[self._row] = [] if numbers == "2" else self.lines[self._row][: self._column]

    def ansi(self) -> str:
        """The lines, with their colours."""
        rows = ["".join(f"{style}{letter}\x1b[0m" for letter, style in line) for line in self.lines]
        return "\n".join(rows).rstrip()


def watch(command: str, folder: Path) -> list[tuple[float, bytes]]:
    """Run a command in a terminal of `COLUMNS`; what it wrote, and when.

    Raises:
        SystemExit: it failed.
    """
    words = [sys.executable, "-m", "moksori", *shlex.split(command)[1:]]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color", LANG="C.UTF-8")
        os.execv(sys.executable, words)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    began, written = time.monotonic(), []
    while True:
        try:
            content = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not content:
            break
        written.append((time.monotonic() - began, content))
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{command} failed:\n" + b"".join(content for _, content in written).decode(errors="replace"))
    return written


def picture(command: str, written: list[tuple[float, bytes]], share: float) -> str:
    """What the terminal showed when so much of the time had gone, as SVG."""
    screen, until = Screen(), share * written[-1][0]
    for seconds, content in written:
        if seconds <= until:
            screen.feed(content)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {command}\n{screen.ansi()}"))
    return console.export_svg(title="", code_format=_SVG, unique_id="terminal")


def sing(folder: Path) -> None:
    """One long take of each of two invented singers, and a song of a third."""
    sys.path.insert(0, str(ROOT / "tests"))
    import soundfile
    import synthetic

    rng = np.random.default_rng(0)
    for name, singer, seconds in (("anna", 2, _SECONDS), ("minho", 1, _SECONDS), ("", 3, 12.0)):
        own = synthetic.SINGERS[singer]
        sung = synthetic.render(synthetic.melody(own, seconds, rng), own, 24_000, rng).clip
        path = folder / "takes" / name / "session.wav" if name else folder / "song.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sung.samples, sung.sample_rate)


def photograph(report: Path, page: Path) -> None:
    """The head of the report, and the page of a song, in both languages."""
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        for language in ("en", "ko"):
            _again_in(language, report, page)
            for name, path in (("evening-report", report / "report.html"), ("evening-song", page)):
                view = browser.new_page(viewport={"width": 1080, "height": 860}, color_scheme="light")
                view.goto(path.resolve().as_uri())
                target = GUIDE / language / "pictures" / f"{name}.png"
                view.screenshot(path=str(target))
                Image.open(target).convert("RGB").quantize(_COLOURS).save(target, optimize=True)
                view.close()
        browser.close()


def _again_in(language: str, report: Path, page: Path) -> None:
    """Write both pages again in a language: a report is plain data, and a conversion is quick."""
    from moksori.evaluation.report import data, pages
    from moksori.language import Words

    pages.write(data.load(report), report, n_players=4, say=Words(language))
    command = f"convert song.wav -m runs/duo -s minho --force --page {page.name} --lang {language}"
    subprocess.run([sys.executable, "-m", "moksori", *command.split()], cwd=page.parent, check=True)


def main() -> None:
    """Walk, and keep the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="folder to work in; what is there is kept")
    parser.add_argument("--for", dest="budget", default="15m", help="of the training")
    given = parser.parse_args()
    if not (given.work / "takes").exists():
        given.work.mkdir(parents=True, exist_ok=True)
        sing(given.work)
    for language in ("en", "ko"):
        (GUIDE / language / "pictures").mkdir(exist_ok=True)
    seen: dict[str, list[tuple[float, bytes]]] = {}
    for name, template, share in PICTURES:
        command = template.format(budget=given.budget)
        if command not in seen:
            seen[command] = watch(f"{command} --force" if "convert" in command else command, given.work)
        if not name:
            continue
        drawn = picture(command, seen[command], share)
        for language in ("en", "ko"):
            (GUIDE / language / "pictures" / f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(f"{name}.svg", flush=True)
    photograph(given.work / "report", given.work / "listen.html")


if __name__ == "__main__":
    main()
