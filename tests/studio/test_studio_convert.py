"""Converting in a browser, as a person would: bring, look, choose, listen, edit, mix, wait, cancel, come back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browsing import open_page, until
from serving import ARIRANG, Served

from moksori.audio import files


@pytest.fixture(scope="module")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of the same song: long enough to be interrupted."""
    samples, rate = soundfile.read(ARIRANG)
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.tile(samples, 4), rate)
    return path


def bring(page: Any, path: Path) -> None:
    page.set_input_files("#files", str(path))
    page.wait_for_selector("#stage:visible")
    until(page, "name => document.querySelector('#stage-name').textContent === name", arg=path.name)
    until(page, "document.querySelector('#planned').textContent !== ''")


def convert(page: Any, singer: str) -> None:
    page.check(f"input[name=singer][value={singer}]")
    n_before = page.locator("#jobs li").count()
    page.click("#convert")
    until(page, "n => document.querySelectorAll('#jobs li').length > n", arg=n_before)


def test_a_song_is_brought_previewed_converted_heard_and_downloaded(page: Any, studio: Served, tmp_path: Path) -> None:
    bring(page, ARIRANG)
    # An octave lower for both; dorodoro recorded one note, scottpoid the song's range.
    for singer, words in (("dorodoro", "Outside what the singer sang"), ("scottpoid", "Every note lies within")):
        page.check(f"input[name=singer][value={singer}]")
        until(page, "words => document.querySelector('#planned').textContent.includes(words)", arg=words)
        assert "−12 semitones" in page.inner_text("#planned")
    began, before = time.monotonic(), studio.cpu_seconds()
    page.click("#preview")
    page.wait_for_selector("#hear-b:not([disabled])")
    # Where others compute, too, it is the processor's time that tells.
    assert min(time.monotonic() - began, studio.cpu_seconds() - before) < 2.0
    assert page.get_attribute("#hear-b", "aria-checked") == "true"
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    page.click("#play")

    convert(page, "scottpoid")
    page.wait_for_selector("#jobs li[data-state=done]")
    page.wait_for_selector("#wave-b:visible")
    page.click("#play")
    until(page, "parseFloat(document.querySelector('#place').value) > 0.4")
    page.keyboard.press("Escape")
    before = float(page.input_value("#place"))
    page.click("#hear-a")
    page.wait_for_timeout(300)
    after = float(page.input_value("#place"))
    assert page.get_attribute("#hear-a", "aria-checked") == "true"
    assert before <= after < before + 3  # it went on from there
    page.click("#play")

    with page.expect_download() as downloading:
        page.click("#jobs a.button")
    assert downloading.value.suggested_filename == "arirang.scottpoid.flac"
    downloading.value.save_as(tmp_path / "sung.flac")
    sung, source = files.probe(tmp_path / "sung.flac"), files.probe(ARIRANG)
    assert (sung.n_samples, sung.sample_rate, sung.n_channels) == (source.n_samples, source.sample_rate, 1)

    page.reload()
    page.wait_for_selector("#jobs li[data-state=done]")
    page.wait_for_selector("#stage:visible")  # the song that was looked at
    page.click("#jobs button:has-text('Listen')")
    page.wait_for_selector("#wave-b:visible")


def test_both_sounds_are_in_step_while_they_play(page: Any, studio: Served) -> None:
    song = studio.bring(ARIRANG)
    page.reload()
    page.click(f"[data-song='{song['id']}'] .pick")
    page.evaluate(
        """() => {
            window.sounds = [];
            const play = HTMLMediaElement.prototype.play;
            HTMLMediaElement.prototype.play = function () {
                if (!sounds.includes(this)) sounds.push(this);
                return play.call(this);
            };
        }"""
    )
    convert(page, "kumi")
    page.wait_for_selector("#wave-b:visible")
    page.click("#play")
    until(page, "sounds.length === 2 && sounds.every(sound => sound.currentTime > 1.2)")
    apart = [abs(page.evaluate("sounds[0].currentTime - sounds[1].currentTime")) for _ in range(10)]
    assert float(np.median(apart)) < 0.06
    assert page.evaluate("sounds.map(sound => sound.muted).sort().join()") == "false,true"


def test_a_microphone_is_recorded(page: Any) -> None:
    page.click("#record")
    until(page, "document.querySelector('#upload').textContent.includes('Recording: 1')")
    page.click("#record")
    page.wait_for_selector("#stage:visible")
    assert page.inner_text("#stage-name").startswith("Recording ") and page.inner_text("#stage-name").endswith(".wav")


def test_singers_are_mixed_by_sliders_and_by_a_point_between_three(page: Any, studio: Served) -> None:
    bring(page, ARIRANG)
    page.check("#mix")
    for number, share in enumerate((0, 50, 30, 20)):
        page.locator(f"#share-{number}").fill(str(share))
    assert page.inner_text("#sliders").split("\n").count("50 %") == 1
    page.wait_for_selector("#pad:visible")
    page.focus("#pad")
    for _ in range(40):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    shares = [float(page.input_value(f"#share-{number}")) for number in range(7)]
    assert (
        sum(shares) == pytest.approx(100, abs=2) and shares[1] > 85
    )  # the corner at the top is the first of the three
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/api/jobs")):
        page.click("#convert")
    request = studio.ask("GET", "/api/jobs").json[0]["request"]
    assert request["shares"]["kumi"] == shares[1]


def test_a_note_is_dragged_undone_and_sung_and_the_melody_goes_out_and_in(
    page: Any, studio: Served, tmp_path: Path
) -> None:
    bring(page, ARIRANG)
    song = studio.ask("GET", "/api/songs").json[0]["id"]

    def melody() -> np.ndarray[Any, Any]:
        lines = studio.ask("GET", f"/api/songs/{song}/melody").body.decode().splitlines()[1:]
        return np.array([float(line.split(",")[1]) for line in lines])

    tracked = melody()
    page.click("#editor summary")
    page.wait_for_selector("#stage.editing")
    page.focus("#melody")
    for _ in range(100):  # until the melody has come, and a note of it can be chosen
        page.keyboard.press("ArrowRight")
        if page.inner_text("#chosen"):
            break
        page.wait_for_timeout(50)
    with page.expect_response(lambda answer: answer.request.method == "PUT"):
        for key in ("ArrowRight", "ArrowUp", "ArrowUp"):
            page.keyboard.press(key)
    # A stroke is saved a quarter of a second after it: the second one by itself, if it is late.
    page.wait_for_timeout(600)
    start, stop = (float(part.split()[0]) for part in page.inner_text("#chosen").split(", ")[1].split(" to "))
    ratio = melody()[tracked > 0] / tracked[tracked > 0]
    times = np.flatnonzero(tracked > 0) * 0.016
    inside = (times >= start - 1e-6) & (times < stop - 1e-6)
    np.testing.assert_allclose(ratio[inside], 2 ** (2 / 12), rtol=1e-4)
    np.testing.assert_allclose(ratio[~inside], 1.0, rtol=1e-4)

    page.keyboard.press("Control+z")
    with page.expect_response(lambda answer: answer.request.method == "PUT"):
        page.keyboard.press("Control+z")
    page.wait_for_timeout(100)
    np.testing.assert_allclose(melody(), tracked, atol=1e-3)

    box = page.locator("#melody").bounding_box()
    with page.expect_response(lambda answer: answer.request.method == "PUT"):  # a stretch, then up
        page.mouse.move(box["x"] + 150, box["y"] + 12)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 12)
        page.mouse.up()
        page.mouse.move(box["x"] + 300, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
        page.mouse.up()
    assert (melody() > tracked * 1.05).sum() > 50

    with page.expect_download() as downloading:
        page.click("#melody-out")
    assert downloading.value.suggested_filename == "arirang.f0.csv"
    page.click("#reset")
    page.wait_for_selector("#reset[disabled]")
    np.testing.assert_allclose(melody(), tracked, atol=1e-3)
    downloading.value.save_as(tmp_path / "edited.f0.csv")
    page.set_input_files("#melody-in", str(tmp_path / "edited.f0.csv"))
    page.wait_for_selector("#reset:not([disabled])")
    assert (melody() > tracked * 1.05).sum() > 50

    (tmp_path / "bad.f0.csv").write_text("0.0,220,1\n0.0,220,1\n", encoding="utf-8")
    page.set_input_files("#melody-in", str(tmp_path / "bad.f0.csv"))
    page.wait_for_selector("#trouble:visible")
    assert page.inner_text("#trouble p").startswith("line 2: time 0 s does not lie after")
    assert (melody() > tracked * 1.05).sum() > 50


def test_octave_errors_are_repaired(page: Any, studio: Served) -> None:
    bring(page, ARIRANG)
    song = studio.ask("GET", "/api/songs").json[0]["id"]
    lines = studio.ask("GET", f"/api/songs/{song}/melody").body.decode().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    steady = next(i for i in range(30, len(cells)) if all(cell[2] == "1" for cell in cells[i - 30 : i + 40]))
    for cell in cells[steady : steady + 12]:
        cell[1] = f"{float(cell[1]) * 2:.3f}"
    broken = "\n".join([lines[0], *(",".join(cell) for cell in cells)])
    assert studio.ask("PUT", f"/api/songs/{song}/melody", raw=broken.encode()).status == 200
    page.click("#editor summary")
    page.click("#repair")
    until(page, "/^[1-9].* brought back by an octave/.test(document.querySelector('#chosen').textContent)")


def test_a_job_is_cancelled_tried_again_and_survives_the_server(browser: Any, tmp_path: Path, long_song: Path) -> None:
    served = Served(tmp_path / "Moksori")
    try:
        for page in open_quietly(browser, served):
            bring(page, long_song)
            convert(page, "kumi")
            page.wait_for_selector("#jobs li[data-state=running] progress")
            waits = []
            for _ in range(5):
                began = time.monotonic()
                assert served.ask("GET", "/").status == 200
                waits.append(time.monotonic() - began)
            assert sorted(waits)[2] < 0.2
            page.click("#jobs button:has-text('Cancel')")
            page.wait_for_selector("#jobs li[data-state=cancelled]")
            assert not list((tmp_path / "Moksori" / "jobs").glob("*/result.*"))
            page.click("#jobs button:has-text('Try again')")
            page.wait_for_selector("#jobs li[data-state=running]")
            port = served.port
            served.stop(signal.SIGKILL)
            page.wait_for_selector("#lost:visible")
            served.start(port)
            assert served.start_seconds < 5.0
            page.wait_for_selector("#lost", state="hidden")
            page.wait_for_selector("#jobs li[data-state=done]", timeout=180_000)
    finally:
        served.stop()


def open_quietly(browser: Any, served: Served) -> Iterator[Any]:
    """A page of a studio that will be killed: that nobody answers is said on the console, too."""
    with contextlib.suppress(AssertionError):
        yield from open_page(browser, served)


def test_what_is_no_song_is_refused_on_the_page(page: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear Sir", encoding="utf-8")
    page.set_input_files("#files", str(tmp_path / "letter.wav"))
    page.wait_for_selector("#trouble:visible")
    assert "letter.wav: not a sound file" in page.inner_text("#trouble p")
    page.click("#trouble button")
    assert page.is_hidden("#trouble")


def test_a_killed_worker_is_told_and_the_next_conversion_works(page: Any, studio: Served, long_song: Path) -> None:
    bring(page, long_song)
    convert(page, "kumi")
    page.wait_for_selector("#jobs li[data-state=running] progress")
    found = subprocess.run(["pgrep", "-P", str(studio.process.pid)], capture_output=True, text=True, check=False).stdout
    for pid in map(int, found.split()):
        os.kill(pid, signal.SIGKILL)
    page.wait_for_selector("#jobs li[data-state=failed]")
    assert "process that converts ended" in page.inner_text("#jobs li[data-state=failed]")
    bring(page, ARIRANG)
    convert(page, "kumi")
    page.wait_for_selector("#jobs li:first-child[data-state=done]")


def test_the_page_is_korean_for_a_korean_browser_and_stays_as_it_is_switched(browser: Any, studio: Served) -> None:
    for page in open_page(browser, studio, locale="ko-KR"):
        assert page.inner_text("h1") == "노래를 다른 목소리로"
        assert page.get_attribute("html", "lang") == "ko"
        page.click(".languages [lang=en]")
        assert page.inner_text("h1") == "Sing a song with another voice"
        page.reload()
        assert page.inner_text("h1") == "Sing a song with another voice"
