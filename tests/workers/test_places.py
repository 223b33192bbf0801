"""Places of files: a folder and a URL behave alike, and what is published is whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from moksori.errors import UserError
from moksori.workers.places import Place, is_url


@pytest.fixture(params=["folder", "store", "file-url"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place of each kind; the store is fsspec's own, in memory."""
    if request.param == "store":
        name = secrets.token_hex(4)
        yield Place.of(f"memory://{name}/songs")
        if fsspec.filesystem("memory").exists(f"/{name}"):
            fsspec.filesystem("memory").rm(f"/{name}", recursive=True)
    else:
        yield Place.of(tmp_path if request.param == "folder" else f"file://{tmp_path}/songs")


def put(place: Place, name: str, content: bytes) -> None:
    place.write(name, content)


def test_what_was_written_is_listed_and_fetched(place: Place) -> None:
    put(place, "b/song.wav", b"12345")
    put(place, "a.flac", b"1")
    assert place.listing().n_bytes == {"a.flac": 1, "b/song.wav": 5}
    assert list(place.listing().n_bytes) == ["a.flac", "b/song.wav"]
    with place.fetched("b/song.wav") as path:
        assert path.read_bytes() == b"12345" and path.name == "song.wav"


def test_what_is_not_there_has_no_files_and_no_content(place: Place) -> None:
    assert place.listing().n_bytes == {}
    assert place.read("nothing") is None


def test_a_file_that_is_published_takes_the_place_of_the_old_one(place: Place, tmp_path: Path) -> None:
    put(place, "song.wav", b"old")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    target = place.target("song.wav", scratch)
    if place.is_url:
        target.write_bytes(b"half")
        assert place.read("song.wav") == b"old"  # not before it is published
    target.write_bytes(b"whole")
    place.publish(target, "song.wav")
    assert place.read("song.wav") == b"whole"
    assert place.listing().n_bytes.keys() - {"scratch"} == {"song.wav"}  # and no part of it is left


def test_removed_files_are_gone(place: Place) -> None:
    put(place, "a/1", b"1")
    put(place, "a/2", b"2")
    place.remove(["a/1"])
    assert list(place.listing().n_bytes) == ["a/2"]


def test_a_single_file_is_split_into_place_and_name(place: Place) -> None:
    put(place, "a/song.wav", b"1")
    single = Place.of(place.where("a/song.wav"))
    assert single.is_file() and not Place.of(place.where("a")).is_file()
    folder, name = single.split()
    assert name == "song.wav" and folder.read(name) == b"1"


def test_a_file_that_is_gone_says_so() -> None:
    place = Place.of("memory://nowhere")
    with pytest.raises(UserError, match=r"memory://nowhere/song\.wav: no such file"), place.fetched("song.wav"):
        pass


def test_names_that_lead_out_of_a_folder_are_refused() -> None:
    """An object store takes any key; fetched into a folder, this one would be written beside it."""
    store = fsspec.filesystem("memory")
    store.store["/evil/a/../../x.wav"] = fsspec.implementations.memory.MemoryFile(store, "/evil/a/../../x.wav", b"1")
    store.store["/evil/good.wav"] = fsspec.implementations.memory.MemoryFile(store, "/evil/good.wav", b"1")
    try:
        found = Place.of("memory://evil").listing()
    finally:
        del store.store["/evil/a/../../x.wav"], store.store["/evil/good.wav"]
    assert list(found.n_bytes) == ["good.wav"]
    assert found.refused == ("a/../../x.wav",)


def test_an_unknown_store_is_told_with_what_to_install() -> None:
    with pytest.raises(UserError, match=r"nostore://x: cannot be opened .*pip install s3fs"):
        Place.of("nostore://x").listing()


@pytest.mark.parametrize("error", [PermissionError("Access Denied"), RuntimeError("Could not connect\nto anything")])
def test_a_store_that_does_not_answer_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """An S3 server that was not there gave pages of its client's frames."""

    def fail(*_: object, **__: object) -> None:
        raise error

    for verb in ("find", "isfile"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, verb, fail)
    expected = rf"memory://x: cannot be reached \({str(error).splitlines()[0]}\); look at the address"
    for ask in (Place.of("memory://x").listing, Place.of("memory://x").is_file):
        with pytest.raises(UserError, match=expected):
            ask()


def test_half_written_files_of_killed_workers_are_cleaned_away(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "a" / ".film.mkv.part").write_bytes(b"somebody's own")
    (tmp_path / "a" / "song.part").write_bytes(b"somebody's own")
    Place.of(tmp_path).remove_parts()
    assert sorted(os.listdir(tmp_path / "a")) == [".film.mkv.part", "song.part"]


def test_the_root_of_a_store_is_a_place_behind_a_url() -> None:
    assert Place.of("memory://").is_url
    assert Place.of("s3://bucket/songs//").root == "s3://bucket/songs"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://b/x", True), ("simplecache::s3://b", True), ("songs:1/x", False), ("C:/x", False), ("/a//b", False)],
)
def test_urls_are_told_from_paths(text: str, expected: bool) -> None:
    assert is_url(text) is expected
