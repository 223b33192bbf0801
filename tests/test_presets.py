"""Presets: read strictly, kept beside the model, shipped ones fit the shipped voice."""

from __future__ import annotations

from pathlib import Path

import pytest

from moksori import presets
from moksori.conversion import ConvertOptions
from moksori.errors import UserError
from moksori.presets import Preset


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    model = tmp_path / "voice.safetensors"
    stage = Preset(singer='a "b"', transpose="-12", detail=0.5, keep_breaths=True, seed=3)
    assert presets.keep("on stage", stage, model) == tmp_path / "voice.presets.toml"
    assert presets.keep("bare", Preset(), model)
    assert presets.of(model) == {"on stage": stage, "bare": Preset()}


def test_semitones_may_be_a_number() -> None:
    assert presets.parse("[low]\ntranspose = -12", "here")["low"].transpose == "-12"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[stage]\nvolume = 3", "here, preset stage: unknown key volume; known keys are about, singer"),
        ("[stage]\ndetail = 'much'", "here, preset stage, key detail: expected float"),
        ("[stage]\nsinger = 'a'\nmix = 'a=1'", "leave one of them out"),
        ("detail = 1.0", "'detail' stands alone"),
        ("[stage", "here: not valid TOML"),
    ],
)
def test_what_is_no_preset_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match="here") as refusal:
        presets.parse(text, "here")
    assert words in str(refusal.value)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    model = tmp_path / "voice.safetensors"
    with pytest.raises(UserError, match=r"it has none; they stand in .*voice\.presets\.toml"):
        presets.named("stage", model)
    presets.keep("stage", Preset(), model)
    with pytest.raises(UserError, match="it has stage; did you mean stage"):
        presets.named("stge", model)


def test_keeping_leaves_the_rest_of_the_file_alone(tmp_path: Path) -> None:
    model = tmp_path / "voice.safetensors"
    place = presets.beside(model)
    place.write_text("# by hand\n[one]\ndetail = 0.1  # little\n\n[two]\nseed = 2\n", encoding="utf-8")
    with pytest.raises(UserError, match="has a preset named 'one' already"):
        presets.keep("one", Preset(seed=1), model)
    presets.keep("one", Preset(seed=1), model, is_replaced=True)
    assert presets.of(model) == {"one": Preset(seed=1), "two": Preset(seed=2)}
    presets.keep("three", Preset(), model)
    assert place.read_text(encoding="utf-8").startswith("# by hand\n")


def test_a_model_in_a_runs_folder_has_the_presets_of_the_run(tmp_path: Path) -> None:
    presets.keep("stage", Preset(seed=1), tmp_path)
    assert (tmp_path / "presets.toml").is_file()
    assert presets.of(tmp_path / "best.safetensors") == {"stage": Preset(seed=1)}
    assert presets.of(tmp_path / "other.safetensors") == {}


def test_the_shipped_voice_has_presets_that_options_take_and_keeps_no_others() -> None:
    shipped = presets.of(None)
    assert set(shipped) == {"clear", "alike"}
    for preset in shipped.values():
        assert preset.about
        ConvertOptions(**preset.options)
    with pytest.raises(UserError, match="copy it"):
        presets.keep("mine", Preset(), None)
