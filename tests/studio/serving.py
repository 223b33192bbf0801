"""A studio to ask: a process of its own, as somebody would start it, and plain HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

ARIRANG = Path(__file__).parents[2] / "demo" / "arirang.flac"


class Answer(NamedTuple):
    """What the studio answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A studio in a folder; asked at `port`."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.folder = folder
        self._command = [sys.executable, "-m", "moksori", "studio", "--folder", str(folder), "--no-browser", *options]
        self.start(port)

    def start(self, port: int = 0) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*self._command, "--port", str(port)],
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert "http://" in said, said + self.process.stderr.read()
        self.address = said.split(" at ")[1].split()[0]
        self.port = int(self.address.split(":")[2].split("/")[0])
        # Of a machine of its own: where others compute, too, it is the processor's time that tells.
        self.start_seconds = min(time.monotonic() - began, self.cpu_seconds(alone=True))
        self.log: list[str] = []
        threading.Thread(target=lambda stream: self.log.extend(stream), args=[self.process.stderr], daemon=True).start()

    def cpu_seconds(self, *, alone: bool = False) -> float:
        """Processor seconds of the server, and of its worker unless `alone`; whoever else computes does not count."""
        pid = str(self.process.pid)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        fields = [
            Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            for each in (pid, *([] if alone else children))
        ]
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")

    def stop(self, number: int = signal.SIGINT) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, sent, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def bring(self, path: Path, name: str | None = None) -> Any:
        """Upload a song, and wait until it was analysed."""
        named = {"X-Name": quote(name or path.name)}
        song = self.ask("POST", "/api/songs", headers=named, raw=path.read_bytes()).json
        return self.wait("/api/songs", song["id"], "ready", "failed")

    def wait(self, listing: str, number: str, *states: str, seconds: float = 180) -> Any:
        """Wait until a thing is in one of these states."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            (found,) = [each for each in self.ask("GET", listing).json if each["id"] == number]
            if found["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{found} did not become {' or '.join(states)}")
