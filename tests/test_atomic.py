"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from moksori import atomic


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    atomic.write(path, b"old")
    return path


def test_the_new_content_takes_the_place_of_the_old(old: Path) -> None:
    atomic.write(old, b"new")
    assert old.read_bytes() == b"new"
    assert list(old.parent.iterdir()) == [old]


def test_until_the_block_ends_readers_meet_the_old_file(old: Path) -> None:
    with atomic.replacing(old) as part:
        part.write_bytes(b"ne")
        assert old.read_bytes() == b"old"
        assert part.parent == old.parent and part.name.startswith(".")
        part.write_bytes(b"new")
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(old: Path, error: type[BaseException]) -> None:
    def fail_halfway() -> None:
        with atomic.replacing(old) as part:
            part.write_bytes(b"ne")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        atomic.write(tmp_path / "nowhere" / "file", b"new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic.write(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
