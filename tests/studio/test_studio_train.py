"""Voices and trainings in a browser: in, out, refused; a run that outlives page and server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import synthetic
import torch
from browsing import open_page, until
from safetensors.torch import save_file
from serving import ARIRANG, Served
from test_studio_convert import open_quietly

from moksori import checkpoint
from moksori.studio import schemas
from moksori.studio.client import WorkerClient
from moksori.studio.store import Store
from moksori.studio.trainings import Trainings

SINGERS = Path(__file__).parents[2] / "demo" / "singers"
SHIPPED = Path(checkpoint.__file__).parent / "voices" / "first.safetensors"


class TestVoices:
    def test_the_shipped_voice_has_a_card_with_singers_ranges_and_terms(self, page: Any) -> None:
        page.click("nav a[href='/voices']")
        page.wait_for_selector("[data-voice=shipped] table")
        card = page.inner_text("[data-voice=shipped]")
        assert all(part in card for part in ("kumi", "A3 to D5", "taught", "CC BY 3.0"))

    def test_a_model_file_comes_in_sings_goes_out_and_is_removed(
        self, page: Any, studio: Served, tmp_path: Path
    ) -> None:
        shutil.copy(SHIPPED, tmp_path / "나의 목소리.safetensors")
        page.goto(studio.address + "voices")
        page.set_input_files("#bring", str(tmp_path / "나의 목소리.safetensors"))
        card = page.locator("article", has_text="나의 목소리.safetensors")
        card.wait_for()
        with page.expect_download() as downloading:
            card.locator("a").click()
        downloading.value.save_as(tmp_path / "out.safetensors")
        assert (tmp_path / "out.safetensors").read_bytes() == SHIPPED.read_bytes()
        number = card.get_attribute("data-voice")
        song = studio.bring(ARIRANG)
        request = {"song": song["id"], "voice": number, "shares": {"kumi": 1.0}}
        job = studio.ask("POST", "/api/jobs", request).json
        assert studio.wait("/api/jobs", job["id"], "done", "failed")["state"] == "done"
        page.on("dialog", lambda dialog: dialog.accept())
        card.locator("button", has_text="Remove").click()
        card.wait_for(state="detached")
        assert studio.ask("POST", "/api/jobs", request).status == 404

    def test_what_is_no_voice_is_refused_and_leaves_nothing(self, page: Any, studio: Served, tmp_path: Path) -> None:
        save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
        damaged = bytearray(SHIPPED.read_bytes())
        damaged[-1000] ^= 1
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
        page.goto(studio.address + "voices")
        page.wait_for_selector("[data-voice=shipped]")
        for name, said in (("foreign", "not one of Moksori"), ("damaged", "damaged"), ("pickle", "not a safetensors")):
            page.set_input_files("#bring", str(tmp_path / f"{name}.safetensors"))
            until(page, "said => document.querySelector('#trouble p').textContent.includes(said)", said)
            assert page.inner_text("#trouble p").startswith(f"{name}.safetensors: ")
        assert not [path for path in (studio.folder / "voices").iterdir() if path.is_dir()]


def test_a_run_of_smoke_outlives_page_and_server_pauses_goes_on_and_sings(browser: Any, tmp_path: Path) -> None:
    served = Served(tmp_path / "Moksori")
    try:
        for page in open_quietly(browser, served):
            page.goto(served.address + "train")
            page.fill("#new-name", "Invented")
            page.click("#new button")
            page.wait_for_selector("#training:visible")
            page.set_input_files("#folder", str(SINGERS))
            until(page, "document.querySelectorAll('#take-list > li').length === 4")
            until(page, "document.querySelector('#upload').textContent === ''")
            page.click("#check")
            page.wait_for_selector("#doctor:visible")
            assert page.locator("#doctor tbody tr").count() == 4
            assert "syn_bass: Only" in page.inner_text("#advice")
            page.select_option("#recipe", "smoke")
            page.fill("#minutes", "10")
            page.fill("#terms", "for tests")
            page.click("#start")
            page.wait_for_selector("#curves svg", timeout=180_000)
            (training,) = served.ask("GET", "/api/trainings").json
            assert training["state"] == "running"
            number, trainer = training["id"], training["pid"]

            port = served.port
            served.stop(signal.SIGKILL)
            os.kill(trainer, 0)  # it is still there
            served.start(port)
            page.wait_for_selector("#lost", state="hidden")
            step = served.ask("GET", f"/api/trainings/{number}").json["step"]
            until(page, f"document.querySelector('#reached').textContent && {step} > 0")
            for second in open_page(browser, served):  # two browsers see the same
                second.goto(f"{served.address}train?training={number}")
                second.wait_for_selector("#pause:visible")
                second.click("#pause")
                second.wait_for_selector("li[data-state=paused]")
            page.wait_for_selector("li[data-state=paused]")
            with pytest.raises(ProcessLookupError):
                _wait_for_end(trainer)
            paused = served.ask("GET", f"/api/trainings/{number}").json
            assert paused["step"] >= step and paused["has_voice"]

            # Three seconds more. What the form takes is 0.1 minutes at least: below, the browser sends nothing.
            page.fill("#minutes", str(max(0.1, round(paused["seconds"] / 60 + 0.05, 3))))
            page.click("#start")
            page.wait_for_selector("li[data-state=running], li[data-state=done]")
            page.wait_for_selector("li[data-state=done]", timeout=180_000)
            assert served.ask("GET", f"/api/trainings/{number}").json["step"] > paused["step"]
            assert not page.is_visible("#failure")
            page.click("#use")
            until(page, "id => document.querySelector('#voice').value === id", number)
            voice = next(each for each in served.ask("GET", "/api/voices").json if each["id"] == number)
            assert voice["card"]["terms"] == "for tests" and "syn_sop" in voice["card"]["singers"]
    finally:
        served.stop()


def test_a_run_that_stands_tells_the_time_of_its_save(tmp_path: Path) -> None:
    """Once it told that of the last line: what judges had taken after it was spent already when it went on."""
    trainings = Trainings(Store(tmp_path), WorkerClient(), lambda number: None, lambda kind, record: None)
    number = trainings.add("a")["id"]
    run = trainings.folder(number) / "run"
    run.mkdir()
    line = {"event": "losses", "step": 100, "losses": {"reconstruction": 1.0}, "seconds": 2.4}
    (run / "journal.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    saved = {"provenance": json.dumps({"steps": 103, "training_seconds": 9.1})}
    save_file({"weight": torch.zeros(1)}, run / "model.safetensors", metadata=saved)
    for state, found in (("running", (100, 2.4)), ("paused", (103, 9.1))):
        trainings._store.put("trainings", {**trainings.get(number), "state": state, "request": {"minutes": 1}})
        now = trainings.details(number)
        assert (now["step"], now["seconds"]) == found


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"recipe": "adapt"}, ["--recipe", "adapt", "--for"]),
        ({"recipe": "adapt", "base": "shipped"}, ["--recipe", "adapt", "--from", "base", "--for"]),
        ({"recipe": "swift", "base": "mine"}, ["--recipe", "swift", "--from", "/voices/mine", "--for"]),
    ],
)
def test_a_training_begins_from_the_voice_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], given: list[str]
) -> None:
    begun: list[list[str]] = []

    class Begun:
        pid = 1

        def __init__(self, command: list[str], **_: Any) -> None:
            begun.append(command)

    monkeypatch.setattr(subprocess, "Popen", Begun)
    paths = {"shipped": None, "mine": "/voices/mine"}
    trainings = Trainings(Store(tmp_path), WorkerClient(), paths.__getitem__, lambda kind, record: None)
    number = trainings.add("a")["id"]
    trainings._store.put("trainings", {**trainings.get(number), "doctor": {}})
    trainings.start(number, schemas.parse(schemas.TrainingRequest, asked))
    (command,) = begun
    at = command.index("--recipe")
    assert command[at : at + len(given)] == given
    # A run that has begun knows what it began from.
    (trainings.folder(number) / "run").mkdir()
    (trainings.folder(number) / "run" / "recipe.toml").touch()
    trainings.start(number, schemas.parse(schemas.TrainingRequest, asked))
    assert "--from" not in begun[1] and begun[1][begun[1].index("--recipe") + 1].endswith("recipe.toml")


def _wait_for_end(pid: int) -> None:
    """Ask for a process until it is gone, which raises."""
    for _ in range(100):
        os.kill(pid, 0)
        time.sleep(0.05)


class TestTakes:
    @pytest.fixture
    def training(self, studio: Served) -> Iterator[str]:
        number = studio.ask("POST", "/api/trainings", {"name": "a"}).json["id"]
        yield number
        studio.ask("DELETE", f"/api/trainings/{number}")

    @pytest.mark.parametrize("singer", ["", "..", "a/b", "../../x", "con", "-o", ".hidden", "x" * 41, "a\nb", "a "])
    def test_a_singers_name_that_is_no_folder_is_refused(self, studio: Served, training: str, singer: str) -> None:
        headers = {"X-Name": "take.wav", "X-Singer": quote(singer)}
        answer = studio.ask("POST", f"/api/trainings/{training}/takes", headers=headers, raw=b"RIFF")
        if singer == "a ":  # spaces around it are only typed
            assert answer.status == 201
        else:
            assert answer.status == 400 and "cannot be a singer's name" in answer.json["error"]
            assert not list((studio.folder / "trainings" / training).glob("takes/*"))

    def test_nothing_starts_before_the_doctor_has_seen_it(self, studio: Served, training: str) -> None:
        request = {"recipe": "smoke", "minutes": 1}
        assert studio.ask("POST", f"/api/trainings/{training}/start", request).status == 409
        assert studio.ask("POST", f"/api/trainings/{training}/check").status == 400
        wrong = studio.ask("POST", f"/api/trainings/{training}/start", {"recipe": "/etc/passwd", "minutes": 1})
        assert wrong.status == 400 and "expected one of adapt" in wrong.json["error"]

    def test_recordings_that_are_none_are_told_by_the_names_they_had(self, studio: Served, training: str) -> None:
        for name, raw in (("first.wav", ARIRANG.read_bytes()), ("letter.wav", b"Dear Sir")):
            headers = {"X-Name": name, "X-Singer": "anna"}
            assert studio.ask("POST", f"/api/trainings/{training}/takes", headers=headers, raw=raw).status == 201
        studio.ask("POST", f"/api/trainings/{training}/check")
        checked = studio.wait("/api/trainings", training, "checked", "new")
        (skip,) = checked["doctor"]["skipped"]
        assert skip["source"] == "anna/letter.wav"
        assert "only one singer" in checked["doctor"]["advice"][0]
        assert "가수가 한 명뿐이라" in checked["doctor"]["said"]["ko"]["advice"][0]
        assert str(studio.folder) not in json.dumps(checked)


def test_the_law_of_mixup_turns_from_a_u_to_a_bell_and_the_singer_between_is_heard(page: Any, studio: Served) -> None:
    studio.bring(ARIRANG)
    page.goto(studio.address + "learn")
    page.wait_for_selector("#law .bar")
    assert "Below 1 the law is a U" in page.inner_text("#shape")

    def middle_over_end() -> float:
        script = "[...document.querySelectorAll('#law .bar')].map(bar => Number(bar.getAttribute('height')))"
        heights = page.evaluate(script)
        return float(sum(heights[18:22]) / max(1e-9, sum([*heights[:2], *heights[-2:]])))

    assert middle_over_end() < 0.5
    page.focus("#parameter")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#shape').textContent.includes('bell')")
    assert middle_over_end() > 5
    page.locator("#share").fill("0.3")
    page.click("#hear")
    page.wait_for_selector("#sound:visible")
    until(page, "document.querySelector('#sound').currentTime > 0.2")


def test_a_probe_reads_who_sings_from_the_sound_and_less_from_the_latent(
    page: Any, studio: Served, tmp_path: Path
) -> None:
    """Two invented singers, whom no voice here has met."""
    singers = synthetic.SINGERS[:2]
    synthetic.write_corpus(
        tmp_path, np.random.default_rng(0), singers=singers, n_songs=3, seconds=2.0, sample_rate=24000
    )
    number = studio.ask("POST", "/api/trainings", {"name": "Two invented"}).json["id"]
    for path in sorted(tmp_path.glob("*/*")):
        headers = {"X-Name": path.name, "X-Singer": path.parent.name}
        studio.ask("POST", f"/api/trainings/{number}/takes", headers=headers, raw=path.read_bytes())
    refused = studio.ask("POST", "/api/learn/leaks", {"training": number})
    assert refused.status == 409 and "Check the recordings first" in refused.json["error"]
    studio.ask("POST", f"/api/trainings/{number}/check")
    studio.wait("/api/trainings", number, "checked")
    page.goto(studio.address + "learn")
    until(page, "document.querySelector('#recordings').options.length > 0")
    page.select_option("#recordings", number)
    page.click("#read")
    page.wait_for_selector("#readings [data-row=latent]")

    def read(row: str) -> float:
        return float(page.inner_text(f"#readings [data-row={row}] td:nth-child(2) b").split()[0])

    assert read("sound") >= 90 and read("latent") < read("sound")
    assert "The shipped voice, asked about Two invented" in page.inner_text("#readings figcaption")
    assert "by guessing 50 %" in page.inner_text("#readings thead")
    studio.ask("DELETE", f"/api/trainings/{number}")


def test_what_a_run_kept_of_the_confusion_network_is_told(tmp_path: Path) -> None:
    trainings = Trainings(Store(tmp_path), WorkerClient(), lambda number: None, lambda kind, record: None)
    number = trainings.add("a")["id"]
    run = trainings.folder(number) / "run"
    run.mkdir()
    lines = [
        {"event": "validation", "step": n, "figures": {"loss": 1.0, "classifier_accuracy": n / 100}} for n in (20, 40)
    ]
    lines.insert(1, {"event": "losses", "step": 30, "losses": {"reconstruction": 1.0}, "seconds": 1.0})
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert trainings.details(number)["adversary"] == [[20, 0.2], [40, 0.4]]
    assert trainings.details(number)["usable_steps"] == 0
    (run / "recipe.toml").write_text("[loop]\nusable_steps = 100\n", encoding="utf-8")
    assert trainings.details(number)["usable_steps"] == 100
