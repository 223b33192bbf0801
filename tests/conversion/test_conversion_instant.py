"""An instant voice: measured from takes, never trained; whoever was there does not notice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import synthetic
import torch
from singing import HERE, RANGES, RATE, vowel

from moksori import checkpoint
from moksori.audio import features
from moksori.checkpoint import Provenance
from moksori.conversion import Voice, instant
from moksori.conversion.instant import Takes
from moksori.errors import DataError, UserError
from moksori.language import Words
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes of an invented singer, seven seconds in two files; read-only."""
    songs = tmp_path_factory.mktemp("takes")
    alto = (replace(synthetic.SINGERS[2], name="mina"),)
    synthetic.write_corpus(songs, np.random.default_rng(1), singers=alto, n_songs=2, seconds=3.5, sample_rate=8000)
    return songs / "mina"


@pytest.fixture(scope="module")
def voice(tiny_swift_recipe: Recipe) -> Voice:
    """A voice with a detail path, whose singers' vectors make a difference to what it sings."""
    config = replace(
        tiny_swift_recipe.model,  # type: ignore[type-var]
        decoder=SourceFilterConfig(channels=8, layers=2, has_detail=True),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(config, ["bass", "tenor"])  # type: ignore[arg-type]
        torch.nn.init.normal_(model.decoder.last.weight, std=0.3)
        torch.nn.init.normal_(model.decoder.timbre.weight, std=0.3)
    assert model.singers.measured is not None
    model.singers.measured.copy_(torch.tensor([[-1.0], [1.0]]).expand(-1, 2 * features.N_BANDS))
    return Voice(model, Provenance(ranges=RANGES, licence_note="Free."))


@pytest.fixture(scope="module")
def takes(voice: Voice, folder: Path) -> Takes:
    return instant.measure(folder, voice.model, -23.0)


def test_whoever_was_there_sings_as_before_bit_for_bit(voice: Voice, takes: Takes) -> None:
    before = {name: tensor.clone() for name, tensor in voice.model.state_dict().items()}
    own = voice.convert(vowel(), RATE, singer="bass", options=HERE)
    grown = voice.with_singer(takes)
    assert grown.singers == ("bass", "tenor", "mina") and voice.singers == ("bass", "tenor")
    np.testing.assert_array_equal(grown.convert(vowel(), RATE, singer="bass", options=HERE), own)
    assert all(torch.equal(tensor, before[name]) for name, tensor in voice.model.state_dict().items())
    for name, tensor in grown.model.state_dict().items():
        if name.startswith(("encoder.", "decoder.")):
            assert torch.equal(tensor, before[name])
    sung = grown.convert(vowel(), RATE, singer="mina", options=HERE)
    assert np.isfinite(sung).all() and np.abs(sung - own).max() > 1e-3


def test_a_singer_of_the_table_is_found_by_what_they_sing(voice: Voice, takes: Takes) -> None:
    model = voice.model
    assert isinstance(model, SourceFilterModel) and model.singers.measured is not None
    silent = {name: torch.zeros_like(tensor) for name, tensor in model.encoder.state_dict().items()}
    deaf = Voice(model, voice.provenance).with_singer(takes).model  # a copy, whose latent is the same for any sound
    assert isinstance(deaf, SourceFilterModel)
    deaf.encoder.load_state_dict(silent)
    for number, shares in ((0, [1.0, 0.0]), (1, [0.0, 1.0])):
        copy = instant.roster.with_singers(deaf, {"bass": "bass", "tenor": "tenor"})
        vector = copy.singers(torch.tensor([number])).detach()
        alone = features.with_gain(takes.excerpts, torch.zeros(len(takes.excerpts)))
        with torch.no_grad():
            sung = copy.densities(copy.controls(copy.encode(alone), alone, vector.expand(len(alone), -1)))
        own = replace(
            takes,
            excerpts=features.with_densities(takes.excerpts, sung),
            mean_shape=vector[0, copy.config.singer_channels :],
        )
        torch.testing.assert_close(
            instant.nearest_mix(copy, own), torch.tensor(shares, dtype=torch.float64), atol=0.1, rtol=0
        )
        grown, _ = instant.with_singer(copy, Provenance(), own)
        got = grown.singers(torch.tensor([2]))
        assert (got - vector).norm() < 0.2 * (copy.singers(torch.tensor([1 - number])) - vector).norm()


def test_shares_are_those_of_a_mix_and_even_where_nothing_tells() -> None:
    sung = torch.tensor(np.random.default_rng(0).standard_normal((3, 4000)))
    shares = torch.tensor([0.6, 0.4, 0.0], dtype=torch.float64)
    found = instant._shares(sung, shares @ sung)
    torch.testing.assert_close(found, shares, atol=0.06, rtol=0)  # the pull to equal shares is a tenth
    assert float(found.sum()) == pytest.approx(1) and bool((found >= 0).all())
    torch.testing.assert_close(instant._shares(torch.zeros(4, 0), torch.zeros(0)), torch.full((4,), 0.25).double())


def test_how_loud_the_takes_are_and_how_they_are_cut_makes_no_difference(
    voice: Voice, folder: Path, takes: Takes, tmp_path: Path
) -> None:
    whole = np.concatenate([soundfile.read(path)[0] for path in sorted(folder.iterdir())])
    soundfile.write(tmp_path / "mina.wav", 0.2 * whole, 8000, subtype="FLOAT")
    one = instant.measure(tmp_path / "mina.wav", voice.model, -23.0)
    assert one.singer == "mina" and one.sung_seconds == pytest.approx(takes.sung_seconds, abs=1)
    assert float((one.mean_shape - takes.mean_shape).abs().mean()) < 0.05
    assert one.sung.median_hz == pytest.approx(takes.sung.median_hz, rel=0.06)


def test_what_it_is_stands_in_its_provenance_and_in_every_result(voice: Voice, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mina")
    (tmp_path / "mina" / "CONSENT.txt").write_text("Yes, for demos.", encoding="utf-8")
    grown = voice.like(tmp_path / "mina", licence_note="By consent.")
    said = grown.provenance
    seconds = said.measured_seconds("mina")
    assert 5 < seconds < 9 and said.measured_seconds("bass") == 0
    assert said.lineage[-1].startswith(f"mina: measured from {seconds:.0f} s of takes, not trained; takes ")
    assert said.licence_note == "Free. By consent." and said.rights == {"mina": "Yes, for demos."}
    assert said.ranges["bass"] == RANGES["bass"] and 150 < said.ranges["mina"].median_hz < 500
    assert f"{seconds:.0f} s of takes, not trained" in repr(grown) and "not trained" in grown._repr_html_()
    soundfile.write(tmp_path / "song.wav", vowel(), RATE)
    report = grown.convert_file(tmp_path / "song.wav", tmp_path / "sung.flac", singer={"mina": 0.5, "bass": 0.5})
    assert report.measured == {"mina": seconds}
    assert (
        f"mina: measured from {seconds:.0f} s of takes, not trained"
        in soundfile.SoundFile(tmp_path / "sung.flac").comment
    )
    assert not grown.convert_file(tmp_path / "song.wav", tmp_path / "own.flac", singer="bass").measured
    path = tmp_path / "grown.safetensors"
    checkpoint.write_model(path, grown.model, said)
    _, renamed = checkpoint.with_singers(*checkpoint.read_model(path), {"mina": "mira"}, [])
    assert (renamed.measured_seconds("mira"), renamed.measured_seconds("mina")) == (seconds, 0)


def test_a_bad_take_is_left_out_and_named(voice: Voice, folder: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mina"
    shutil.copytree(folder, mixed)
    soundfile.write(mixed / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(mixed / "silent.wav", np.zeros(16000), 8000)
    (mixed / "broken.flac").write_bytes(b"fLaC and no more")
    found = instant.measure(mixed, voice.model, -23.0)
    for name in ("nan.wav", "silent.wav", "broken.flac"):
        assert [remark for remark in found.remarks if remark.startswith(f"{name} was left out: ")], found.remarks
    assert found.remarks[0].startswith("7 s of singing: 30 s or more")
    korean = instant.measure(folder, voice.model, -23.0, say=Words("ko"))
    assert korean.remarks[0].startswith("노래가 7초입니다")


def test_noise_in_the_pauses_is_told_by_the_rules_of_the_doctor(voice: Voice, folder: Path, tmp_path: Path) -> None:
    noisy = tmp_path / "mina"
    noisy.mkdir()
    for path in folder.iterdir():
        samples = soundfile.read(path)[0]
        hiss = 0.01 * np.random.default_rng(0).standard_normal(len(samples))
        soundfile.write(noisy / path.name, samples + hiss, 8000)
    assert any(
        remark.startswith("The pauses are at -") for remark in instant.measure(noisy, voice.model, -23.0).remarks
    )


def test_takes_that_tell_no_voice_are_refused(voice: Voice, folder: Path, tmp_path: Path, swift_voice: Voice) -> None:
    with pytest.raises(UserError, match="no such folder or file; expected the recordings of one singer"):
        voice.like(tmp_path / "nobody")
    short = tmp_path / "short.wav"
    soundfile.write(short, soundfile.read(folder / "song-1.wav")[0][:16000], 8000)
    with pytest.raises(UserError, match=r"short.wav: .* s of singing; expected at least 5 s, and better 30 s"):
        voice.like(short)
    hiss = tmp_path / "hiss.wav"
    soundfile.write(hiss, 0.1 * np.random.default_rng(0).standard_normal(64000), 8000)
    with pytest.raises(UserError, match=r"hiss.wav: no voiced sound was found"):
        voice.like(hiss)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(64000), 8000)
    with pytest.raises(DataError, match=r"silent.wav: no recording with singing in it; silent.wav: "):
        voice.like(silent)
    with pytest.raises(DataError, match="holds folders, and each is a singer by its own name; choose one of them"):
        voice.like(folder.parent)
    with pytest.raises(UserError, match="a singer named 'bass' already"):
        voice.like(folder, name="bass")
    with pytest.raises(UserError, match="knows its singers by training alone"):
        swift_voice.like(folder)


def test_of_many_takes_enough_are_measured_from_first_to_last(
    voice: Voice, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tmp_path / "mina"
    many.mkdir()
    samples, rate = soundfile.read(sorted(folder.iterdir())[0])
    for number in range(12):
        soundfile.write(many / f"{number:02}.wav", samples[number * 100 :], rate)
    (many / "CONSENT").write_text("To sing with.", encoding="utf-8")
    (many / "05.wav").write_text("no sound", encoding="utf-8")
    chosen = instant._enough(sorted(many.glob("*.wav")))
    assert len(chosen) == 12  # 40 s are no more than what is measured
    monkeypatch.setattr(instant, "MOST_SECONDS", 13.5)
    chosen = [int(path.stem) for path in instant._enough(sorted(many.glob("*.wav")))]
    assert len([number for number in chosen if number != 5]) == 4  # of 3.5 s each
    assert min(chosen) < 3 and max(chosen) > 8 and max(np.diff(chosen)) <= 5
    with_few = instant.measure(many, voice.model, -23.0)
    assert with_few.rights == "To sing with." and with_few.singer == "mina"
    assert any("of 12 takes were measured" in remark for remark in with_few.remarks)
    assert with_few.sung_seconds < 14.1


def test_of_few_takes_all_are_measured_and_nothing_is_said_of_it(takes: Takes) -> None:
    assert not any("takes were measured" in remark for remark in takes.remarks)
