"""What is seen of a training run: pictures in pseudo terminals of several widths, and lines on a plain stream."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import terminals

from moksori.audio.clip import Clip
from moksori.cli import watcher
from moksori.cli.watcher import Watcher
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.logging.events import Logged, Resumed, Sampled, Scored, Stepped
from moksori.training.loop import Budget

SAMPLE_FILE = RunFolder(Path("run")).sample
LOSSES = {"adversarial": 0.693, "classifier": 1.099, "confusion": 1.098, "cycle": 0.532, "reconstruction": 2.345}

# Resumed after 10 minutes at step 100; a step every 2 s of a clock that only steps move.
RUN = f"""
import sys
from pathlib import Path
from moksori.cli.watcher import Watcher
from moksori.training import recipe
from moksori.training.folder import RunFolder
from moksori.training.logging.events import Logged, Resumed, Stepped
from moksori.training.loop import Budget

now = [0.0]
sample_file = RunFolder(Path("run")).sample
watcher = Watcher(Budget(10**12, 1200.0), recipe.load("swift"), 2, "per band", sample_file, lambda: now[0])
watcher.tell(Resumed(100, 600.0))
for n in range(1, 31):
    now[0] = 2.0 * n
    watcher.tell(Stepped(100 + n, "reconstruction", 600.0 + now[0]))
watcher.tell(Logged(130, "reconstruction", {LOSSES!r}, 1e-3, 660.0, 0.5))
watcher.close()
"""


def _picture(width: int) -> str:
    """What the run writes into a terminal of a width, without colours and movements of the cursor."""
    shown = terminals.written(RUN, width, ("COLUMNS", "LINES", "NO_COLOR"))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_bar_gone_and_left_are_seen_at_any_width(width: int) -> None:
    lines = [line.rstrip() for line in _picture(width).split("\n") if line.strip()]
    live, losses = lines[-2], lines[-1]
    assert re.match(r"━{5,}─{3,}  11:00 gone  9:00 left  step 130", live), lines
    assert ("0.50/s" in live) == (width >= 60)
    assert losses.startswith("adversarial 0.693")
    assert max(len(live), len(losses)) < width  # a line as wide as the terminal would wrap in some
    assert ("reconstruction 2.345" in losses) == (width >= 120)
    said = "\n".join(lines)
    assert "0.5 steps/s here: about 400 steps within 20 min" in said
    assert "phase 2 begins (step 160)" in said
    assert "a usable voice (step 2000), after the end" in said


def test_the_live_line_is_never_wider_than_it_may_be() -> None:
    for width in range(0, 240):
        for left in (None, 5.0, 360_000.0):
            line = watcher.live_line(width, 0.3, 36_000.0, left, 123_456, 0.01)
            assert len(line) <= width
            if width >= 60:
                assert line.startswith("━━━"), (width, line)
                assert "gone" in line
                assert "left" in line


def test_without_a_budget_of_time_what_is_left_is_known_as_soon_as_the_speed_is() -> None:
    now = [0.0]
    seen = Watcher(Budget(100), recipes.load("swift"), 2, "per band", SAMPLE_FILE, lambda: now[0])
    seen.tell(Resumed(0, 0.0))
    assert "left: soon known" in seen.lines(80)
    for n in range(1, 6):
        now[0] += 100.0 if n < 3 else 2.0  # the first steps compile
        seen.tell(Stepped(n, "reconstruction", now[0]))
    assert seen.speed == pytest.approx(0.5)
    assert "3:26 gone  3:10 left" in seen.lines(80)


def test_a_plain_stream_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Watcher(Budget(100, 600.0), recipes.load("swift"), 2, "per band", SAMPLE_FILE, lambda: 0.0)
    seen.tell(Resumed(0, 0.0))
    seen.tell(Logged(10, "reconstruction", LOSSES, 1e-3, 60.0, 0.5))
    seen.tell(Logged(11, "reconstruction", LOSSES, 1e-3, 61.0, 0.5))
    printed = capsys.readouterr().err.splitlines()
    assert printed == [printed[0]], "one line in half a minute"
    assert printed[0].startswith("step 10  adversarial 0.693")
    assert printed[0].endswith("9 min left")


def test_the_first_scores_of_a_voice_that_is_not_usable_say_what_they_are_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After 29 steps it said: heard as the target 100 %; of two singers, that is soon reached."""
    seen = Watcher(Budget(10**4), recipes.load("swift"), 2, "per band", SAMPLE_FILE, lambda: 0.0)
    for step in (29, 60, 4600):
        seen.tell(Scored(step, {"identified": 1.0}, 0.9, is_best=step == 29))
    seen.tell(Resumed(4600, 9.0))
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith("step 29: heard as the target 100%") and printed[0].endswith("best so far")
    assert "no grade; moksori evaluate gives one" in printed[1]
    assert [line.split(":")[0] for line in printed[2:4]] == ["step 60", "step 4600"]


def test_a_sample_is_told_with_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    """What the walk of a stranger met: `sample take_03.me-to-dorodoro`, and nowhere to hear it."""
    seen = Watcher(Budget(100), recipes.load("swift"), 1, "per band", SAMPLE_FILE, lambda: 0.0)
    seen.tell(Sampled(20, "take_03.me", Clip(np.zeros(8, np.float32), 8000)))
    assert capsys.readouterr().err == f"step 20: sample {Path('run/samples/step-000000020.take_03.me.flac')}\n"
