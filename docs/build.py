"""Build the guide, in both languages, into site/: `make docs`.

    python docs/build.py            pages, figures, sounds; a warning is an error
    python docs/build.py --quick    without the sounds, which take half a minute

docs/guide/en and docs/guide/ko hold the same pages. They are laid out in build/guide, together with the project's notes
(docs/*.md), the figures and some sounds to play; formulas become MathML, which browsers draw without help from
anywhere. Zensical then builds each language by itself, strictly: a link or an anchor that leads nowhere is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from latex2mathml.converter import convert as mathml

ROOT = Path(__file__).parents[1]
DOCS, LAID_OUT, SITE = ROOT / "docs", ROOT / "build" / "guide", ROOT / "site"
LANGUAGES = ("en", "ko")

_CARRIED = {".svg", ".png", ".mp3", ".flac", ".ogg", ".wav"}  # what notes may show and play

_BLOCK = re.compile(r"(^```.*?^```)", re.S | re.M)
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.S | re.M)
_DISPLAYED = re.compile(r"^\$\$(.+?)\$\$$", re.S | re.M)
_INLINE = re.compile(r"(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![A-Za-z0-9])")  # a Korean particle may follow
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")

# Zensical would fetch this from the network; ours stands beside the pages.
_FETCHED, _OURS = "https://unpkg.com/iframe-worker/shim", "assets/search-from-disk.js"
_FOREIGN = re.compile(r"""<(?:script|link|img|audio|iframe)\b[^>]*\b(?:src|href)=["']?(https?://[^"'\s>]+)""")

# What the search box says stands in the theme's script, in English whatever the page's language; where it stands there,
# and what stands there in Korean.
SEARCH_BOX_KO = {
    '"aria-label":"Search"': '"aria-label":"검색"',
    'placeholder:"Search"': 'placeholder:"검색어를 입력하세요"',
    '"aria-label":"Close search"': '"aria-label":"검색 닫기"',
    '"aria-label":"Search results"': '"aria-label":"검색 결과"',
    '"aria-label":"Filters"': '"aria-label":"필터"',
    'children:"Filters"': 'children:"필터"',
    'children:"Tags"': 'children:"태그"',
    '"Use Up and Down arrow keys to move between tags. Press Space or Enter to toggle a tag."': (
        '"위·아래 화살표 키로 태그를 옮겨 다니고, 스페이스나 Enter로 켜고 끕니다."'
    ),
    '"No results"': '"일치하는 결과가 없습니다"',
    '"Loading search\\u2026"': '"검색을 준비하는 중…"',
    '"Search is unavailable. Reload the page to try again."': '"검색할 수 없습니다. 페이지를 새로 고치세요."',
    '${new Intl.NumberFormat("en-US").format(i)} ${i===1?"result":"results"}': (
        '결과 ${new Intl.NumberFormat("ko-KR").format(i)}개'
    ),
}

_FRONT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Moksori</title>
<script>location.replace(((navigator.language || "").startsWith("ko") ? "ko" : "en") + "/index.html")</script>
<p><a href="ko/index.html">한국어</a> · <a href="en/index.html">English</a></p></html>
"""


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change a page's prose, and leave blocks and spans of code as they are."""
    parts = _CODE.split(text)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def with_formulas(text: str) -> str:
    """Formulas between dollars as MathML.

    >>> with_formulas("so $x$ costs `$5`")[:14]
    'so <span class'
    """

    def drawn(prose: str) -> str:
        prose = _DISPLAYED.sub(lambda found: _on_a_line(found[1]), prose)
        # A line that began with <math> would be taken for a block of HTML.
        return _INLINE.sub(lambda found: f'<span class="math">{mathml(found[1])}</span>', prose)

    return outside_code(text, drawn)


def _on_a_line(formula: str) -> str:
    return f'\n<div class="formula">{mathml(formula.strip(), display="block")}</div>\n'


def note_for_site(text: str, page: Path, notes: set[Path]) -> str:
    """A note of the project as a page: links to other notes stay, those to files of the repository become names.

    Args:
        text: of the note.
        page: where it lies.
        notes: all notes that are pages, resolved.
    """

    def link(found: re.Match[str]) -> str:
        target = (page.parent / found[3].split("#")[0]).resolve()
        if target in notes or (target.suffix in _CARRIED and target.is_file() and target.is_relative_to(DOCS)):
            return found[0]
        return f"{found[2]} (`{target.relative_to(ROOT)}`)" if target.is_relative_to(ROOT) else found[2]

    parts = _BLOCK.split(text)  # spans of code stay with the prose: a link may have one for a name
    return "".join(part if index % 2 else _LINK.sub(link, part) for index, part in enumerate(parts))


def with_notes(settings: str, notes: set[Path]) -> str:
    """Settings whose navigation lists the notes, by their headings."""
    listed = []
    for note in sorted(notes):
        heading = note.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        page = f"notes/{note.relative_to(DOCS).as_posix()}"
        listed.append(f"{{ {json.dumps(heading, ensure_ascii=False)} = {json.dumps(page)} }}")
    return settings.replace('"NOTES"', f"[{', '.join(listed)}]")


def lay_out(language: str) -> Path:
    """Put everything that one language's site is made of into build/guide/LANGUAGE."""
    folder = LAID_OUT / language
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS / "guide" / language, folder)
    shutil.copytree(DOCS / "guide" / "assets", folder / "assets", dirs_exist_ok=True)
    for page in folder.rglob("*.md"):
        page.write_text(with_formulas(page.read_text(encoding="utf-8")), encoding="utf-8")
    beside = [path for path in DOCS.rglob("*") if not path.is_relative_to(DOCS / "guide")]
    notes = {path.resolve() for path in beside if path.suffix == ".md"}
    for note in notes:
        target = folder / "notes" / note.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(note_for_site(note.read_text(encoding="utf-8"), note, notes), encoding="utf-8")
    for path in beside:
        if path.suffix in _CARRIED:
            target = folder / "notes" / path.relative_to(DOCS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    settings = (DOCS / "guide" / f"{language}.toml").read_text(encoding="utf-8")
    (LAID_OUT / f"{language}.toml").write_text(with_notes(settings, notes), encoding="utf-8")
    shutil.copytree(DOCS / "guide" / "theme", LAID_OUT / "theme", dirs_exist_ok=True)
    return folder


def search_box_in_korean(script: str) -> str:
    """The theme's script with a search box that speaks Korean.

    Raises:
        SystemExit: the theme says something else by now.
    """
    for english, korean in SEARCH_BOX_KO.items():
        if english not in script:
            raise SystemExit(f"the theme's script no longer has {english}; see SEARCH_BOX_KO in docs/build.py")
        script = script.replace(english, korean)
    return script


def build(language: str) -> None:
    """Build one language's site.

    Raises:
        subprocess.CalledProcessError: Zensical found something to warn of; it has said what.
    """
    settings = f"{language}.toml"
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", settings]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(DOCS)}  # where our extension of Markdown lies
    # Zensical writes only below the folder of its settings; that is the laid-out one, so that no cache lands elsewhere.
    subprocess.run(command, cwd=LAID_OUT, check=True, env=environment)
    shutil.move(LAID_OUT / "site" / language, SITE / language)
    if language == "ko":
        for path in (SITE / language / "assets" / "javascripts").glob("bundle*.js"):
            path.write_text(search_box_in_korean(path.read_text(encoding="utf-8")), encoding="utf-8")
    for page in (SITE / language).rglob("*.html"):
        up = "../" * (len(page.relative_to(SITE / language).parts) - 1)
        text = page.read_text(encoding="utf-8").replace(_FETCHED, up + _OURS)
        foreign = _FOREIGN.findall(text)
        if foreign:
            raise SystemExit(f"{page}: would fetch {', '.join(foreign)}; a page of the guide is whole by itself")
        page.write_text(text, encoding="utf-8")


def main() -> None:
    """Build the guide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave the sounds out")
    options = parser.parse_args()
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir()
    for language in LANGUAGES:
        lay_out(language)
    if not options.quick:
        subprocess.run(
            [sys.executable, str(DOCS / "sounds.py"), *(str(LAID_OUT / each) for each in LANGUAGES)], check=True
        )
    for language in LANGUAGES:
        build(language)
    (SITE / "index.html").write_text(_FRONT, encoding="utf-8")
    print(f"Read: {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
