"""Sharing: what is packed is received as it was, and what is not what it says is refused."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from moksori import checkpoint, presets, sharing
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.cli.app import app
from moksori.errors import ModelFileError, UserError
from moksori.models.autoencoder import Autoencoder
from moksori.presets import Preset

ORIGIN = Provenance(
    "moksori 0", "tiny", 7, ranges={"bass": PitchRange(80.0, 110.0, 160.0)}, licence_note="free to all | with credit"
)


@pytest.fixture
def model(tiny_model: Autoencoder, tmp_path: Path) -> Path:
    path = tmp_path / "own" / "voice.safetensors"
    path.parent.mkdir()
    checkpoint.write_model(path, tiny_model, ORIGIN)
    presets.keep("stage", Preset(singer="bass"), path)
    return path


@pytest.fixture
def package(model: Path, tmp_path: Path) -> Path:
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.json").write_text("{}", encoding="utf-8")
    (report / "voice.flac").write_bytes(b"sound")
    path = tmp_path / "duo.moksori.zip"
    sharing.write(path, sharing.contents(model, report))
    return path


def _call(*words: Any) -> Any:
    return CliRunner().invoke(app, list(map(str, words)))


def test_what_is_packed_is_received_as_it_was(model: Path, package: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        assert sorted(archive.namelist()) == sorted([*sharing._KNOWN[:4], sharing.MANIFEST])
    got = sharing.receive(package, tmp_path / "there" / "duo.safetensors")
    assert got.voice.read_bytes() == model.read_bytes()
    assert presets.of(got.voice) == {"stage": Preset(singer="bass")}
    assert (got.singers, got.terms) == (("bass", "tenor"), "free to all | with credit")
    assert {path.name for path in got.others} == {"duo.md", "duo.presets.toml", "duo.report.json"}


@pytest.mark.kind("D")
def test_packing_never_takes_the_place_of_the_voice_itself(model: Path) -> None:
    before = model.read_bytes()
    done = _call("pack", model, "-o", model, "--force")
    assert isinstance(done.exception, UserError) and "is itself read or written" in str(done.exception)
    assert model.read_bytes() == before


@pytest.mark.kind("E")
def test_a_folder_that_holds_something_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine", encoding="utf-8")
    done = _call("pack", model, "-o", tmp_path / "project", "--force")
    assert isinstance(done.exception, UserError) and "holds README.md" in str(done.exception)
    assert (tmp_path / "project" / "README.md").read_text(encoding="utf-8") == "mine"
    for force in ([], ["--force"]):
        assert _call("pack", model, "-o", tmp_path / "voice", *force).exit_code == 0


def test_the_card_tells_ranges_and_terms(model: Path) -> None:
    text = sharing.contents(model)[sharing.CARD].decode()
    assert "| bass | D#2 to D#3 |" in text and "| tenor | not known |" in text
    assert "free to all" in text and "-s bass" in text
    assert "not trained" not in text


def test_the_card_tells_who_was_measured_and_not_trained() -> None:
    origin = replace(ORIGIN, lineage=(checkpoint.measured_from("tenor", 31.4), "bass: enrolled, the vector alone"))
    assert "\ntenor: measured from 31 s of takes, not trained.\n" in sharing.card(("bass", "tenor"), origin)


def test_the_same_voice_makes_the_same_file(model: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        sharing.write(tmp_path / name, sharing.contents(model))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_folder_will_do_and_a_clones_hidden_files_with_it(model: Path, tmp_path: Path) -> None:
    sharing.write(tmp_path / "duo", sharing.contents(model))
    (tmp_path / "duo" / ".gitattributes").touch()
    assert sharing.receive(tmp_path / "duo", tmp_path / "x.safetensors").singers == ("bass", "tenor")


def test_a_voice_without_terms_is_not_packed(tiny_model: Autoencoder, tmp_path: Path) -> None:
    checkpoint.write_model(tmp_path / "v.safetensors", tiny_model, Provenance())
    with pytest.raises(UserError, match="says nothing of its terms"):
        sharing.contents(tmp_path / "v.safetensors")


def _repacked(package: Path, **changes: bytes | None) -> Path:
    """The same package with other files in it; `__` stands for a dot."""
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name, content in changes.items():
        if content is None:
            del files[name.replace("__", ".")]
        else:
            files[name.replace("__", ".")] = content
    other = package.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voice__safetensors": b"something else"}, "voice.safetensors is damaged"),
        ({"README__md": b"other terms"}, "README.md is damaged"),
        ({"README__md": None}, "tells of"),
        ({"run__py": b"print()"}, "'run.py' has no place in a package"),
        ({"../voice__safetensors": b""}, "'../voice.safetensors' has no place"),
        ({"moksori__json": b"[]"}, "no readable moksori.json"),
        ({"moksori__json": b'{"format": 2, "files": {}}'}, "update Moksori"),
        ({"moksori__json": None}, "no readable moksori.json"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    package: Path, tmp_path: Path, changes: dict[str, bytes | None], words: str
) -> None:
    with pytest.raises(UserError) as refusal:
        sharing.receive(_repacked(package, **changes), tmp_path / "got" / "voice.safetensors")
    assert words in str(refusal.value)
    assert not (tmp_path / "got").exists() or not list((tmp_path / "got").iterdir())


def test_a_voice_that_only_claims_to_be_one_is_refused_and_leaves_nothing(package: Path, tmp_path: Path) -> None:
    fake = b"no safetensors"
    with zipfile.ZipFile(package) as archive:
        card = json.loads(archive.read("moksori.json"))
    card["files"]["voice.safetensors"]["sha256"] = sharing._sum(fake)
    other = _repacked(package, voice__safetensors=fake, moksori__json=json.dumps(card).encode())
    with pytest.raises(ModelFileError, match=r"other\.zip, voice\.safetensors: not a safetensors file"):
        sharing.receive(other, tmp_path / "got" / "voice.safetensors")
    assert not list((tmp_path / "got").iterdir())


def test_more_than_a_package_may_hold_is_not_read(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_LONGEST_OTHER", 10)
    with pytest.raises(UserError, match="is larger than"):
        sharing.receive(package, tmp_path / "voice.safetensors")


def test_the_commands_pack_and_import(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _call("pack", model, "-o", "duo.moksori.zip").exit_code == 0
    assert "exists already" in str(_call("pack", model, "-o", "duo.moksori.zip").exception)
    done = _call("import", "duo.moksori.zip")
    assert done.exit_code == 0 and "duo.safetensors: bass, tenor" in done.output and "terms: free to all" in done.output
    assert "exists already" in str(_call("import", "duo.moksori.zip").exception)
    assert "is a .safetensors file" in str(_call("import", "duo.moksori.zip", "-o", "duo.pt").exception)
    assert "no such file or folder" in str(_call("import", "nothing.zip").exception)


def test_the_shipped_voice_may_be_passed_on_with_its_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _call("pack", "-o", "first.moksori.zip").exit_code == 0
    got = sharing.receive(tmp_path / "first.moksori.zip", tmp_path / "first.safetensors")
    assert "kumi" in got.singers and "SCOTTPOID" in got.terms
    assert presets.of(got.voice) == presets.of(None) != {}
