"""Pages of the studio in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from serving import Served


def open_page(browser: Any, served: Served, **how: Any) -> Iterator[Any]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **how})
    opened = context.new_page()
    opened.set_default_timeout(90_000)  # a busy machine is no fault
    complaints: list[str] = []
    opened.on("console", lambda printed: complaints.append(printed.text) if printed.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(served.address)
    yield opened
    context.close()
    # Answers of 4xx are told on the page; the console repeats them.
    assert [printed for printed in complaints if "Failed to load resource" not in printed] == []


def until(page: Any, expression: str, arg: Any = None, *, seconds: float = 90) -> None:
    """Wait until an expression, or a function of `arg`, is true on the page.

    Playwright's own `wait_for_function` evaluates a string within the page, which the page's policy forbids.
    """
    ends = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < ends, f"never true: {expression}"
        page.wait_for_timeout(30)
