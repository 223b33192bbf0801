"""An instant voice: measured from takes, never trained; whoever was there does not notice."""

from __future__ import annotations

import functools
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
from moksori.data.stretches import StretchConfig
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


def test_eight_excerpts_of_a_second_or_so_are_laid_over_the_takes(takes: Takes) -> None:
    assert takes.excerpts.shape[::2] == (8, 128)  # 1.28 s of a hop of 10 ms


def test_takes_are_brought_to_the_level_of_the_voice_and_five_seconds_are_enough(
    voice: Voice, folder: Path, takes: Takes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "mina")
    (tmp_path / "mina" / ".hidden").mkdir()  # of a file manager, and no singer's
    monkeypatch.setattr(instant, "LEAST_SECONDS", takes.sung_seconds)
    soft = instant.measure(tmp_path / "mina", voice.model, -33.0)
    ours, theirs = (features.levels_dbfs(found.excerpts).amax() for found in (takes, soft))
    assert float(ours - theirs) == pytest.approx(10.0, abs=0.2)


def test_a_take_is_never_cut_however_long(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces would have mean shapes of their own."""
    short = functools.partial(StretchConfig, shortest_seconds=0.5, longest_seconds=1.2)
    monkeypatch.setattr(instant, "StretchConfig", short)  # a cut would make three of 3.5 s
    corpus = instant._prepared(folder, tmp_path, "mina", 8000, -23.0, None)
    assert [recording.sung_seconds for recording in corpus.recordings] == pytest.approx([3.5, 3.5], abs=0.2)


def test_a_file_is_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("a privilege is not held")

    monkeypatch.setattr(instant.os, "symlink", refuse)
    (tmp_path / "a.wav").write_bytes(b"sound")
    instant._put(tmp_path / "a.wav", tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == b"sound"


def test_the_new_vector_is_the_mix_of_the_learned_parts_beside_what_was_measured(
    voice: Voice, takes: Takes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instant, "nearest_mix", lambda model, takes: torch.tensor([0.25, 0.75]).double())
    grown, said = instant.with_singer(voice.model, voice.provenance, takes)
    learned = voice.model.singers.table.weight
    expected = torch.cat([0.25 * learned[0] + 0.75 * learned[1], takes.mean_shape])
    torch.testing.assert_close(grown.singers(torch.tensor(2)), expected)
    assert not grown.training and not any(parameter.requires_grad for parameter in grown.parameters())
    assert said.licence_note == "Free. Of mina, no terms were stated. Ask them."
    assert said.lineage[-1].endswith(f"; takes {takes.fingerprint[:16]}") and len(takes.fingerprint) >= 16


def test_a_namesake_is_refused_before_anything_is_listened_to(
    voice: Voice, folder: Path, takes: Takes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(*_: object) -> None:
        raise AssertionError("it was listened to")

    monkeypatch.setattr(instant, "_prepared", deaf)
    monkeypatch.setattr(instant, "nearest_mix", deaf)
    with pytest.raises(UserError, match="a singer named 'bass' already"):
        instant.measure(folder, voice.model, -23.0, name="bass")
    with pytest.raises(UserError, match="a singer named 'bass' already"):
        instant.with_singer(voice.model, voice.provenance, replace(takes, singer="bass"))


def _deaf(voice: Voice) -> SourceFilterModel:
    """A copy whose latent is the same for any sound."""
    model = instant.roster.with_singers(voice.model, {"bass": "bass", "tenor": "tenor"})
    assert isinstance(model, SourceFilterModel)
    model.encoder.load_state_dict({name: torch.zeros_like(row) for name, row in model.encoder.state_dict().items()})
    return model.eval()


@torch.no_grad()
def _sung_by(model: SourceFilterModel, takes: Takes, vector: torch.Tensor) -> Takes:
    """The same takes, as somebody of this vector would have sung them."""
    alone = features.with_gain(takes.excerpts, torch.zeros(len(takes.excerpts)))
    sung = model.densities(model.controls(model.encode(alone), alone, vector.expand(len(alone), -1)))
    mean_shape = vector[model.config.singer_channels :]
    return replace(takes, excerpts=features.with_densities(takes.excerpts, sung), mean_shape=mean_shape)


def test_the_known_sing_the_takes_with_the_measured_part_of_the_new_one(voice: Voice, takes: Takes) -> None:
    model = _deaf(voice)
    assert model.singers.measured is not None
    bright = torch.linspace(-2.0, 2.0, features.N_BANDS).repeat(2)
    model.singers.measured.copy_(torch.stack([-bright, bright]))
    learned, shares = model.singers.table.weight.detach(), torch.eye(2).double()
    for number in (0, 1):  # the learned part of one, the measured part of the other
        vector = torch.cat([learned[number], model.singers.measured[1 - number]])
        found = instant.nearest_mix(model, _sung_by(model, takes, vector))
        torch.testing.assert_close(found, shares[number], atol=0.1, rtol=0)


def test_only_loud_voiced_frames_count(voice: Voice, takes: Takes) -> None:
    model = _deaf(voice)
    bass, tenor = (_sung_by(model, takes, vector) for vector in model.singers(torch.tensor([0, 1])).detach())
    excerpts = bass.excerpts.clone()
    excerpts[:, features.LEVEL, 50:80] = -79.0  # as good as silent
    f0_hz, levels = features.f0_hz(excerpts), features.levels_dbfs(excerpts)
    is_voiced, is_loud = f0_hz > 0, levels > levels.max() - 30
    before = instant.nearest_mix(model, replace(bass, excerpts=excerpts))
    for count in (is_voiced, is_loud):
        assert bool((~count).any())
        densities = torch.where(count[:, None], features.densities(excerpts), features.densities(tenor.excerpts))
        changed = replace(bass, excerpts=features.with_densities(excerpts, densities))
        # Frames beside them hear them a little.
        torch.testing.assert_close(instant.nearest_mix(model, changed), before, atol=0.005, rtol=0)


def test_of_many_singers_those_sing_whose_mean_shapes_are_nearest(
    voice: Voice, takes: Takes, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = _sung_by(_deaf(voice), takes, _deaf(voice).singers(torch.tensor([0, 1])).detach().mean(dim=0))
    assert bool((instant.nearest_mix(_deaf(voice), between) > 0.2).all())
    monkeypatch.setattr(instant, "_MOST_SINGERS", 1)
    for level, shares in ((-0.5, [1.0, 0.0]), (0.5, [0.0, 1.0])):  # the bass has -1 everywhere, the tenor 1
        near = replace(takes, mean_shape=torch.full_like(takes.mean_shape, level))
        assert instant.nearest_mix(_deaf(voice), near).tolist() == shares


def test_shares_do_not_depend_on_the_scale_of_the_envelopes() -> None:
    sung = torch.tensor(np.random.default_rng(0).standard_normal((3, 4000)))
    wanted = torch.tensor([0.6, 0.4, 0.0]).double() @ sung
    for scale in (1e-3, 1e3):
        torch.testing.assert_close(instant._shares(scale * sung, scale * wanted), instant._shares(sung, wanted))
