"""How fast the studio answers: python benchmarks/studio.py; needs the extra [studio], and Linux for processor times.

A studio is opened in a folder of its own and asked as a page asks it: how long until its address is told, until the
first page, until the loudest ten seconds of the demo's song are sung (at once after it was heard, and again), and how
long answers take while a song of minutes is converted. Beside each wall time stands that of the processors, of the
server and its worker together: on a machine that others use, the former is longer than on one of your own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SONG = Path(__file__).parents[1] / "demo" / "arirang.flac"
LONG = 12  # times the song
N_ASKED = 60  # questions while a song is converted
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="studios that are opened; the median is told")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    runs = [_measure() for _ in range(asked.repeats)]
    found = {key: [statistics.median(run[key][i] for run in runs) for i in (0, 1)] for key in runs[0]}
    load = os.getloadavg()[0]
    if asked.json:
        print(json.dumps({"load": load, "cores": os.cpu_count(), "repeats": asked.repeats, "seconds": found}))
        return
    print(f"{os.cpu_count()} cores, load {load:.1f}, median of {asked.repeats}\n")
    print(f"{'':42}{'wall s':>9}{'processor s':>13}")
    for what, (wall, cpu) in found.items():
        print(f"{what:42}{wall:9.3f}{'' if cpu != cpu else f'{cpu:13.3f}'}")


def _measure() -> dict[str, tuple[float, float]]:
    """What -> wall and processor seconds; NaN where the latter says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "moksori", "studio", "--folder", folder, "--port", "0", "--no-browser"]
        began = time.perf_counter()
        studio = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        try:
            assert studio.stderr is not None
            address = studio.stderr.readline().split(" at ")[1].split()[0]
            found = {"start until the address is told": (time.perf_counter() - began, _cpu(studio.pid, alone=True))}
            host = address.removeprefix("http://").rstrip("/")
            found["first page"] = _timed(studio.pid, lambda: _ask(host, "GET", "/"), alone=True)
            # The worker loads torch and the voice in the background, while somebody chooses a song.
            song = _brought(host, SONG.read_bytes())
            found["start until a song is heard"] = (time.perf_counter() - began, _cpu(studio.pid))
            asked = {"song": song, "shares": {"kumi": 1.0}}
            preview = f"/api/songs/{song}/preview"
            found["preview of ten seconds, the first"] = _timed(studio.pid, lambda: _ask(host, "POST", preview, asked))
            found["preview of ten seconds, again"] = _timed(studio.pid, lambda: _ask(host, "POST", preview, asked))
            found |= _while_converting(host)
        finally:
            studio.terminate()
            studio.wait()
    return found


def _while_converting(host: str) -> dict[str, tuple[float, float]]:
    samples, rate = soundfile.read(SONG)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, np.tile(samples, LONG), rate)
        song = _brought(host, Path(file.name).read_bytes())
    job = _ask(host, "POST", "/api/jobs", {"song": song, "shares": {"kumi": 1.0}})["id"]
    while _state(host, job) == "waiting":
        time.sleep(0.02)
    waits = []
    for number in range(N_ASKED):
        began = time.perf_counter()
        _ask(host, "GET", "/" if number % 2 else "/api/jobs")
        waits.append(time.perf_counter() - began)
        time.sleep(0.03)
    assert _state(host, job) == "running", "the song was too short to be asked meanwhile"
    nan = float("nan")
    return {
        "an answer while a song is converted": (statistics.median(waits), nan),
        "the slowest of sixty": (max(waits), nan),
    }


def _state(host: str, job: str) -> str:
    return next(str(each["state"]) for each in _ask(host, "GET", "/api/jobs") if each["id"] == job)


def _brought(host: str, content: bytes) -> str:
    """Upload a song and wait until it was heard; its number."""
    song = str(_ask(host, "POST", "/api/songs", content, {"X-Name": "song.flac"})["id"])
    while True:
        (state,) = [each["state"] for each in _ask(host, "GET", "/api/songs") if each["id"] == song]
        if state != "hearing":
            assert state == "ready", state
            return song
        time.sleep(0.02)


def _ask(host: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    connection = http.client.HTTPConnection(host, timeout=300)
    try:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, sent, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return json.loads(content) if "json" in answer.getheader("content-type", "") else content
    finally:
        connection.close()


def _timed(pid: int, work: Callable[[], Any], *, alone: bool = False) -> tuple[float, float]:
    before, began = _cpu(pid, alone=alone), time.perf_counter()
    work()
    return time.perf_counter() - began, _cpu(pid, alone=alone) - before


def _cpu(pid: int, *, alone: bool = False) -> float:
    """Processor seconds of a process, and of those that it started unless `alone`."""
    children = [] if alone else Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return sum(_ticks(each) for each in (str(pid), *children)) / TICKS


def _ticks(pid: str) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # user and system


if __name__ == "__main__":
    main()
