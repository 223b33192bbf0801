import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moksori.data import sources
from moksori.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_sub_folders_are_singers_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "mina/a.wav", "mina/1998/live/b.MP3", "jun/c.flac")
    found, skipped = sources.find_sources(tmp_path)
    assert [(s.singer, s.name) for s in found] == [
        ("jun", "jun/c.flac"),
        ("mina", "mina/1998/live/b.MP3"),
        ("mina", "mina/a.wav"),
    ]
    assert skipped == []


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "mina/a.wav",
        "mina/lyrics.txt",
        "mina/b.f0.npy",
        "mina/.DS_Store",
        "empty/x.txt",
        "loose.wav",
        ".git/x.wav",
    )
    _, skipped = sources.find_sources(tmp_path)
    assert {(skip.source, skip.reason) for skip in skipped} == {
        ("mina", "not an audio suffix: 3 file(s) (.npy, .txt, hidden)"),
        ("empty", "not an audio suffix: 1 file(s) (.txt)"),
        ("empty", "no audio files in this folder"),
        ("loose.wav", "lies outside any singer's folder"),
        (".git", "hidden"),
    }


def test_a_link_back_up_is_listed_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "mina/a.wav")
    (tmp_path / "mina" / "again").symlink_to(tmp_path / "mina")
    found, skipped = sources.find_sources(tmp_path)
    assert [source.name for source in found] == ["mina/a.wav"]
    assert [(skip.source, "leads back" in skip.reason) for skip in skipped] == [("mina/again", True)]


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_a_folder_without_singers_explains_the_layout(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=r"one folder for each singer, for example .*mina/song\.wav"):
        sources.find_sources(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be listed"):
        sources.find_sources(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [" ", "a\nb", "a\x1bb"])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/a.wav")
    with pytest.raises(DataError, match="cannot be a singer's name"):
        sources.find_sources(tmp_path)


@pytest.mark.parametrize(
    "pair", [("Mina", "mina"), (unicodedata.normalize("NFC", "André"), unicodedata.normalize("NFD", "André"))]
)
def test_twin_names_are_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/a.wav" for name in pair))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system joins the two names itself")
    with pytest.raises(DataError, match="name one singer twice"):
        sources.find_sources(tmp_path)


def test_a_decomposed_name_is_composed(tmp_path: Path) -> None:
    touch(tmp_path, unicodedata.normalize("NFD", "미나") + "/a.wav")
    found, _ = sources.find_sources(tmp_path)
    assert found[0].singer == "미나"


def test_a_file_name_that_is_not_unicode_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "mina/a.wav")
    try:
        touch(tmp_path, "mina/\udcff.wav")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    found, skipped = sources.find_sources(tmp_path)
    assert len(found) == 1
    assert [skip.source for skip in skipped] == ["mina/\\udcff.wav"]


@given(st.text(min_size=1).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text)))
def test_a_safe_name_is_one_plain_component(text: str) -> None:
    name = sources.safe_name(text)
    assert 0 < len(name.encode()) <= sources.MAX_NAME_BYTES + 9
    assert not set(name) & set('/\\:*?"<>|.\0\n')
    assert name.casefold() not in sources.RESERVED


def test_safe_names_stay_different() -> None:
    names = ["CON", "con", "../x", "..\\x", "x" * 300, "x" * 301, "🎤", "🎵", "-rf", "a'b", 'a"b', "$(ls)", "é", "Mina"]
    assert len({sources.safe_name(name) for name in names}) == len(names)


def test_the_takes_of_one_singer_may_lie_right_in_the_folder(tmp_path: Path) -> None:
    takes = tmp_path / "mina"
    takes.mkdir()
    for name in ("take 2.wav", "take 1.flac", "notes.txt"):
        (takes / name).touch()
    found, skipped = sources.find_sources(takes)
    assert [(source.singer, source.name) for source in found] == [("mina", "take 1.flac"), ("mina", "take 2.wav")]
    assert [skip.reason for skip in skipped] == ["not an audio suffix: 1 file(s) (.txt)"]
    assert {source.singer for source in sources.find_sources(takes, singer="me")[0]} == {"me"}
    with pytest.raises(DataError, match="cannot be a singer's name"):
        sources.find_sources(takes, singer="a\nb")


def test_a_folder_of_singers_takes_no_name(tmp_path: Path) -> None:
    (tmp_path / "mina").mkdir()
    (tmp_path / "mina" / "take.wav").touch()
    (tmp_path / "stray.wav").touch()
    found, skipped = sources.find_sources(tmp_path)
    assert {source.singer for source in found} == {"mina"} and len(skipped) == 1
    with pytest.raises(DataError, match="leave the name 'me' out"):
        sources.find_sources(tmp_path, singer="me")
