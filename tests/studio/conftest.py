"""One studio for the tests that only ask, and a browser where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import open_page
from serving import Served

pytest.importorskip("starlette", reason="the extra [studio] is not installed")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream "
    "--autoplay-policy=no-user-gesture-required --host-resolver-rules=MAP~*~^NOTFOUND,EXCLUDE~127.0.0.1"
)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("studio") / "Moksori")
    yield served
    served.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, or another that is on the path; no name but this machine's resolves in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with playwright.sync_playwright() as started:
        flags = [flag.replace("~", " ") for flag in FLAGS.split()]
        # Without UTF-8 in the locale Chromium takes no file whose name is Korean, and tests run in none.
        letters = {**os.environ, "LC_CTYPE": "C.UTF-8"}
        chromium = started.chromium.launch(executable_path=found, args=flags, env=letters)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, studio: Served) -> Iterator[Any]:
    """A fresh page of the studio, in English; what its console complains of fails the test."""
    yield from open_page(browser, studio)
