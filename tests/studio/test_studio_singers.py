"""Singers taken up, renamed and left out in a browser: each makes a new voice, and the old one stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from browsing import until
from serving import Served

from moksori import checkpoint
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.errors import UserError
from moksori.models.source_filter_model import SourceFilterModel
from moksori.studio.client import OnShare, Task, WorkerClient
from moksori.studio.enrolments import Enrolments
from moksori.studio.store import ENROLMENTS, JOBS, SONGS, TRACKED, VOICES, Store
from moksori.studio.voices import Voices

BASS = PitchRange(100.0, 150.0, 200.0)


@pytest.fixture
def voice(studio: Served, tiny_swift: SourceFilterModel, tmp_path: Path) -> Iterator[str]:
    """A small voice of two singers, in the studio; whatever is made of it goes with it."""
    path = tmp_path / "duo.safetensors"
    checkpoint.write_model(path, tiny_swift, Provenance(ranges={"bass": BASS}, licence_note="Free."))
    given = studio.ask("POST", "/api/voices", headers={"X-Name": "duo.safetensors"}, raw=path.read_bytes())
    yield given.json["id"]
    for made in studio.ask("GET", "/api/voices").json[1:]:
        if made["kind"] != "trained":
            studio.ask("DELETE", f"/api/voices/{made['id']}")


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    songs, third = tmp_path_factory.mktemp("takes"), synthetic.SINGERS[2:3]
    synthetic.write_corpus(songs, np.random.default_rng(1), singers=third, n_songs=2, seconds=1.5, sample_rate=8000)
    return [str(path) for path in sorted((songs / third[0].name).iterdir())]


def singers_of(studio: Served, number: str) -> list[str]:
    return next(list(each["card"]["singers"]) for each in studio.ask("GET", "/api/voices").json if each["id"] == number)


def test_a_singer_is_taken_up_renamed_and_left_out_and_every_old_voice_stays(
    page: Any, studio: Served, voice: str, takes: list[str]
) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(studio.address + "voices")
    card = page.locator(f"[data-voice='{voice}']")
    card.locator(".change summary").click()
    card.locator("input[type=file]").set_input_files(takes)
    assert card.locator(".chosen").inner_text().startswith("2 recordings")
    card.locator("[id^=enrol-name]").fill("bass")
    card.locator(".enrol button[type=submit]").click()
    page.wait_for_selector("#trouble:visible")
    assert "has a singer named “bass” already" in page.inner_text("#trouble p")
    card.locator("[id^=enrol-name]").fill("미나")
    card.locator("[id^=enrol-terms]").fill("by consent")
    card.locator(".enrol button[type=submit]").click()
    grown = page.locator("article", has_text="duo.safetensors + 미나")
    grown.wait_for()
    assert "by consent" in grown.inner_text() and "미나 was added" in grown.inner_text()
    until(page, "document.querySelectorAll('#enrolments li').length === 0")
    assert not any(path.is_dir() for path in (studio.folder / "enrolments").iterdir())  # no take is kept

    number = grown.get_attribute("data-voice")
    grown.locator(".change summary").click()
    grown.locator("[data-singer=bass] input").fill("Jun")
    grown.locator("[data-singer=bass] button[type=submit]").click()
    renamed = page.locator("article", has_text="renamed: bass → Jun")
    renamed.wait_for()
    renamed.locator(".change summary").click()
    renamed.locator("[data-singer=tenor] button.plain").click()
    page.locator("article", has_text="tenor was left out").wait_for()
    made = [each for each in studio.ask("GET", "/api/voices").json if each["kind"] == "made"]
    assert [each["card"]["singers"] for each in made] == [
        ["Jun", "미나"],
        ["Jun", "tenor", "미나"],
        ["bass", "tenor", "미나"],
    ]
    assert singers_of(studio, voice) == ["bass", "tenor"] and singers_of(studio, number) == ["bass", "tenor", "미나"]
    with page.expect_download() as downloading:
        page.locator(f"[data-voice='{made[0]['id']}'] a").click()
    assert downloading.value.suggested_filename == "duo+미나.safetensors"


def test_takes_that_are_none_are_told_by_their_names_and_tried_again(page: Any, studio: Served, voice: str) -> None:
    page.goto(studio.address + "voices")
    card = page.locator(f"[data-voice='{voice}']")
    card.locator(".change summary").click()
    letter = {"name": "letter.wav", "mimeType": "audio/wav", "buffer": b"Dear Sir"}
    card.locator("input[type=file]").set_input_files(letter)
    card.locator("[id^=enrol-name]").fill("mina")
    card.locator(".enrol button[type=submit]").click()
    failed = page.locator("#enrolments li[data-state=failed]")
    failed.wait_for()
    assert "letter.wav" in failed.inner_text() and str(studio.folder) not in failed.inner_text()
    with page.expect_response(lambda answer: answer.url.endswith("/start") and answer.status == 200):
        failed.locator("button", has_text="Try again").click()
    (again,) = studio.ask("GET", "/api/enrolments").json
    studio.wait("/api/enrolments", again["id"], "failed")
    failed.locator("button", has_text="Remove").click()
    until(page, "document.querySelectorAll('#enrolments li').length === 0")
    assert studio.ask("GET", "/api/enrolments").json == []
    assert [each["id"] for each in studio.ask("GET", "/api/voices").json if each["kind"] != "trained"] == [
        "shipped",
        voice,
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("voices/shipped/singers", {"renamed": {"kumi": "../x"}}, 400, "cannot be a singer's name"),
        ("voices/shipped/singers", {"renamed": {"kumi": "dorodoro"}}, 400, "two singers would have one name"),
        ("voices/shipped/singers", {"removed": ["nobody"]}, 400, "no singer named 'nobody'"),
        ("voices/shipped/singers", {}, 400, "nobody is to be renamed or left out"),
        ("voices/0123456789abcdef/singers", {"removed": ["kumi"]}, 404, "no such voice"),
        ("enrolments", {"voice": "shipped", "singer": "kumi"}, 400, "already"),
        ("enrolments", {"voice": "../x", "singer": "mina"}, 404, "no such voice"),
        ("enrolments", {"voice": "shipped", "singer": "a/b"}, 400, "cannot be a singer's name"),
        ("enrolments/0123456789abcdef/start", {}, 404, "not being added any more"),
    ],
)
def test_a_wrong_change_is_refused_and_leaves_nothing(
    studio: Served, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    def there() -> list[str]:
        return sorted(str(each) for kind in ("voices", "enrolments") for each in (studio.folder / kind).glob("*/*"))

    before = there()
    answer = studio.ask("POST", f"/api/{path}", body)
    assert answer.status == status and said in answer.json["error"].lower().replace("a voice", "voice")
    assert there() == before


class Refusing(WorkerClient):
    """Says of every task that the takes are no good."""

    async def submit(self, name: str, queue: str = "now", on_share: OnShare | None = None, **arguments: Any) -> Task:
        raise UserError(f"{arguments['takes']}/a0.wav: is no sound")


def test_what_ran_when_the_server_ended_begins_again_and_a_place_without_a_voice_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    takes = [{"file": "a0.wav", "name": "verse.wav", "n_bytes": 1}]
    asked = {"voice": "shipped", "name": "mina", "licence": "", "takes": takes, "error": ""}
    number = store.new(ENROLMENTS, {**asked, "state": "running"})["id"]
    store.new(VOICES, {"name": "", "changes": []})

    async def restart() -> None:
        worker = Refusing()
        voices = Voices(store, worker, lambda kind, record: None)
        voices.tidy()
        assert [record["id"] for record in voices.names()] == ["shipped"]
        enrolments = Enrolments(store, worker, voices, lambda kind, record: None)
        enrolments.resume()
        await asyncio.gather(*enrolments._background)

    with ThreadPoolExecutor(1) as pool:  # the browser has the loop of this thread
        pool.submit(asyncio.run, restart()).result()
    found = store.known(ENROLMENTS, number)
    assert (found["state"], found["error"]) == ("failed", "verse.wav: is no sound")
    assert not any(path.is_dir() for path in (tmp_path / "voices").iterdir())


def test_a_studio_of_before_opens(tmp_path: Path) -> None:
    for kind in ("songs", "jobs", "voices", "trainings"):
        (tmp_path / kind).mkdir()
    assert Store(tmp_path).all(ENROLMENTS) == []


def test_what_earlier_versions_called_otherwise_is_renamed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    song = store.new(SONGS, {"name": "a.wav", "suffix": ".wav", "state": "hearing", "error": ""})
    ready = store.new(SONGS, {"name": "b.wav", "suffix": ".wav", "state": "ready", "error": ""})
    (store.folder(SONGS, ready["id"]) / "heard.f0.csv").write_text("a melody", encoding="utf-8")
    job = store.new(JOBS, {"song": song["id"], "wish": {"shares": {"kumi": 1.0}}, "state": "done"})
    with Store(tmp_path).lock():
        pass
    assert store.known(SONGS, song["id"]) == {**song, "state": "analysing"}
    assert store.known(SONGS, ready["id"]) == ready
    assert (store.folder(SONGS, ready["id"]) / TRACKED).read_text(encoding="utf-8") == "a melody"
    assert store.known(JOBS, job["id"])["request"] == {"shares": {"kumi": 1.0}}
    assert "wish" not in store.known(JOBS, job["id"])
