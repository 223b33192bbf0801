"""The hub, played by a server of this machine: one file is asked for, at one commit, and nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import moksori
from moksori import checkpoint, hub
from moksori.checkpoint import Provenance
from moksori.errors import ModelFileError, UserError
from moksori.models.autoencoder import Autoencoder

COMMIT = "0123456789" * 4


class Hub:
    """A hub with one repository, mina/duo."""

    def __init__(self, voice: bytes) -> None:
        self.asked: list[str] = []
        there = f"/mina/duo/resolve/{COMMIT}/voice.safetensors"

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def answer(handler) -> None:
                self.asked.append(handler.path)
                is_there = handler.path == there
                handler.send_response(200 if is_there else 404)
                if is_there:
                    handler.send_header("X-Repo-Commit", COMMIT)
                    handler.send_header("ETag", f'"{hashlib.sha256(voice).hexdigest()}"')
                else:
                    handler.send_header("X-Error-Code", "RevisionNotFound")
                handler.send_header("Content-Length", str(len(voice) if is_there else 0))
                handler.end_headers()
                if is_there and handler.command == "GET":
                    handler.wfile.write(voice)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served(tiny_model: Autoencoder, tmp_path: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    path = tmp_path / "voice.safetensors"
    checkpoint.write_model(path, tiny_model, Provenance())
    served = Hub(path.read_bytes())
    yield served
    served.close()


def test_a_voice_is_fetched_once_and_nothing_else_is_asked_for(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = hub.fetch
    monkeypatch.setattr(hub, "fetch", lambda path: fetch(path, served.address, tmp_path / "cache"))
    name = f"hf://mina/duo@{COMMIT}"
    assert moksori.load(name).singers == ("bass", "tenor")
    n_asked = len(served.asked)
    assert {path.rpartition("/")[2] for path in served.asked} == {"voice.safetensors"}
    assert moksori.load(Path(name)).singers == ("bass", "tenor")  # `Path` makes one slash of two
    assert served.asked[n_asked:].count(f"/mina/duo/resolve/{COMMIT}/voice.safetensors") <= 1  # kept since


def test_a_voice_that_is_not_there_says_so(served: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"has no voice.safetensors there \(RevisionNotFoundError\)"):
        hub.fetch(f"hf://mina/duo@{40 * 'a'}", served.address, tmp_path / "cache")


def test_without_the_hub_only_what_was_fetched_is_there(served: Hub, tmp_path: Path) -> None:
    name, cache = f"hf://mina/duo@{COMMIT}", tmp_path / "cache"
    fetched = hub.fetch(name, served.address, cache)
    served.close()
    assert hub.fetch(name, served.address, cache) == fetched
    with pytest.raises(ModelFileError, match="cannot be reached"):
        hub.fetch(f"hf://mina/solo@{COMMIT}", served.address, cache)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf://mina/duo", "no revision is named"),
        ("hf://mina/duo@main", "revision 'main' can move"),
        ("hf://mina/duo@" + 39 * "a", "can move"),
        ("hf://mina@" + COMMIT, "names no voice"),
        ("hf://mina/../x@" + COMMIT, "names no voice"),
        ("hf:///etc/passwd@" + COMMIT, "names no voice"),
    ],
)
def test_what_is_not_pinned_or_no_voice_is_refused(name: str, words: str) -> None:
    assert hub.is_reference(name)
    with pytest.raises(UserError, match=words):
        moksori.load(name)


def test_a_path_is_no_reference() -> None:
    assert not hub.is_reference(Path("runs/hf")) and not hub.is_reference("hf.safetensors")
