from __future__ import annotations

import os
import secrets
from pathlib import Path

import fsspec
import pytest

from moksori.errors import DataError, UserError
from moksori.progress import Progress
from moksori.workers.mirror import mirrored
from moksori.workers.places import Place


@pytest.fixture
def place() -> Place:
    found = Place.of(f"memory://{secrets.token_hex(4)}/data")
    for name, content in (("manifest.json", b"old"), ("clips/1.flac", b"1"), ("clips/2.flac", b"2"), ("cache/x", b"x")):
        found.write(name, content)
    return found


def content(place: Place) -> dict[str, bytes | None]:
    return {name: place.read(name) for name in place.listing().n_bytes}


def test_a_folder_is_itself(tmp_path: Path) -> None:
    with mirrored(Place.of(tmp_path), record="manifest.json") as folder:
        assert folder == tmp_path


def test_a_copy_has_what_the_place_has_and_nothing_is_published_that_is_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    calls: list[Progress] = []
    monkeypatch.setattr(Place, "publish", lambda self, path, name: published.append(name))
    with mirrored(place, record="manifest.json", without=["cache"], progress=calls.append) as folder:
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
            "manifest.json",
            "clips/1.flac",
            "clips/2.flac",
        }
    assert not published and not folder.exists()
    assert [(one.done, one.total) for one in calls] == [(1, 3), (2, 3), (3, 3)]


def test_what_is_new_changed_or_gone_is_so_at_the_place_and_the_record_comes_last(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    publish = Place.publish

    def watched(self: Place, path: Path, name: str) -> None:
        published.append(name)
        publish(self, path, name)

    monkeypatch.setattr(Place, "publish", watched)
    with mirrored(place, record="manifest.json", without=["cache"]) as folder:
        (folder / "manifest.json").write_bytes(b"new")
        (folder / "clips" / "1.flac").unlink()
        (folder / "clips" / "3.flac").write_bytes(b"3")
        (folder / "zoo").write_bytes(b"z")
        (folder / "cache").mkdir()
        (folder / "cache" / "y").write_bytes(b"y")
        (folder / ".lock").write_bytes(b"")
        (folder / ".0123456789abcdef.part").write_bytes(b"half")
    assert sorted(published) == ["clips/3.flac", "manifest.json", "zoo"] and published[-1] == "manifest.json"
    assert content(place) == {
        "manifest.json": b"new",
        "clips/2.flac": b"2",
        "clips/3.flac": b"3",
        "zoo": b"z",
        "cache/x": b"x",
    }


def test_interrupted_work_is_published_too(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt), mirrored(place, record="manifest.json") as folder:
        (folder / "clips" / "3.flac").write_bytes(b"3")
        raise KeyboardInterrupt
    assert place.read("clips/3.flac") == b"3"


def test_errors_name_the_place_and_not_the_copy(place: Place) -> None:
    with pytest.raises(DataError) as caught, mirrored(place, record="manifest.json") as folder:
        raise DataError(f"{folder / 'manifest.json'}: damaged")
    assert str(caught.value) == f"{place.root}/manifest.json: damaged"


def test_a_store_that_cannot_be_reached_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Place, path: Path, name: str) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(Place, "publish", refuse)
    with (
        pytest.raises(UserError, match=rf"{place.root}: cannot be read or written \(Access Denied\)"),
        mirrored(place, record="manifest.json") as folder,
    ):
        (folder / "new").write_bytes(b"1")


def test_a_name_that_leads_out_of_the_copy_is_not_fetched(place: Place, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    evil = f"/{place.root.removeprefix('memory://')}/a/../../../x.wav"
    store.store[evil] = fsspec.implementations.memory.MemoryFile(store, evil, b"1")
    try:
        with mirrored(place, record="manifest.json") as folder:
            assert "x.wav" not in os.listdir(folder.parent) and not (folder.parent.parent / "x.wav").exists()
    finally:
        del store.store[evil]
