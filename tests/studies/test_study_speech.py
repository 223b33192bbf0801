"""From text to speech: letters, log-mels, the attention that only goes forward, and the whole way, tiny."""

from __future__ import annotations

import json
import shutil
import unicodedata
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from moksori.errors import UserError
from moksori_studies import espeak, jamo, mels, speech, tacotron
from moksori_studies.mels import MelConfig
from moksori_studies.speech import Sentence, collate, judge, sentences_of, split
from moksori_studies.tacotron import ForwardAttention, Spoken, Tacotron, TacotronConfig

TINY = TacotronConfig(
    n_mels=80,
    n_speakers=2,
    frames_a_step=2,
    letter_channels=8,
    speaker_channels=3,
    encoder_states=6,
    prenet=6,
    states=8,
    n_gaussians=2,
    postnet=6,
)
CONFIG = MelConfig()


class TestJamo:
    def test_every_block_comes_apart_as_in_unicode(self) -> None:
        blocks = "".join(chr(code) for code in range(0xAC00, 0xD7A4))
        assert jamo.letters(blocks) == unicodedata.normalize("NFD", blocks)
        assert set(jamo.letters(blocks)) <= set(jamo.SYMBOLS)

    def test_numbers_name_the_letters_and_end(self) -> None:
        numbers = jamo.numbers("한, 글?")
        assert "".join(jamo.SYMBOLS[n] for n in numbers) == jamo.letters("한, 글?") + jamo.END
        assert 0 not in numbers

    def test_what_has_no_letters_of_ours_is_refused(self) -> None:
        assert jamo.is_readable("안녕, 세상!")
        assert not any(map(jamo.is_readable, ["", "...", "안녕 3", "hello 안녕", "ㅋㅋ"]))
        with pytest.raises(ValueError, match="'3'"):
            jamo.numbers("3월")


class TestMels:
    def test_a_sine_is_as_loud_as_it_is_in_its_own_band(self) -> None:
        for hz in (300.0, 1000.0, 4000.0):
            samples = 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(22_050) / 22_050)
            mel = mels.log_mel(samples, CONFIG)[:, 10:-10].mean(1)
            bins = torch.linspace(0, 11_025, 513)
            middles = (CONFIG.weights @ bins)[int(mel.argmax())]
            assert abs(middles - hz) < 0.04 * hz + 25
            assert mel.max() < np.log(0.5)

    def test_silence_is_the_floor(self) -> None:
        assert torch.equal(mels.log_mel(torch.zeros(3000), CONFIG), torch.full((80, 11), CONFIG.floor).log())

    def test_magnitudes_have_the_bands_that_they_were_made_of(self) -> None:
        wanted = (torch.rand(80, 5, generator=torch.Generator().manual_seed(0)) * 3 - 4).double().float()
        smooth = torch.nn.functional.avg_pool1d(wanted.T[:, None], 9, 1, 4, count_include_pad=False)[:, 0].T
        found = mels.magnitude_of(smooth, CONFIG)
        assert (found >= 0).all()
        assert ((CONFIG.weights @ found).log() - smooth).abs().mean() < 0.05

    def test_the_sound_of_griffin_and_lim_has_nearly_the_spectrogram_it_was_made_of(self) -> None:
        times = torch.arange(11_000) / 22_050
        voice = sum(torch.sin(2 * torch.pi * 150 * k * times) / k for k in range(1, 20))
        assert isinstance(voice, torch.Tensor)
        wanted = mels.log_mel(0.1 * voice, CONFIG)
        few, many = (mels.log_mel(mels.griffin_lim(wanted, CONFIG, n), CONFIG) for n in (1, 40))
        off_few, off_many = ((found[:, 3:-3] - wanted[:, 3 : found.shape[1] - 3]).abs().mean() for found in (few, many))
        assert off_many < 0.6 * off_few
        assert off_many < 0.35


class TestAttention:
    def test_it_only_goes_forward_and_looks_where_it_says(self) -> None:
        torch.manual_seed(0)
        attention, places = ForwardAttention(8, 2), torch.arange(20.0)
        means, looks = torch.zeros(3, 2), []
        for _ in range(12):
            weights, moved = attention(torch.randn(3, 8), means, places, torch.ones(3, 20))
            assert (moved > means).all()
            means = moved
            looks.append((weights * places).sum(1) / weights.sum(1))
        assert (torch.stack(looks).diff(dim=0) > -0.5).all() and (looks[-1] > looks[0] + 2).all()

    def test_weights_are_densities_of_the_gaussians_by_hand(self) -> None:
        attention = ForwardAttention(1, 1)
        with torch.no_grad():
            attention.parameters_of.weight.zero_()
            attention.parameters_of.bias.copy_(
                torch.tensor([0.0, 0.5413249, 0.4327521])
            )  # steps of 1, width 0.93 + .05
        weights, means = attention(torch.zeros(1, 1), torch.tensor([[1.0]]), torch.arange(4.0), torch.ones(1, 4))
        assert means.item() == pytest.approx(2.0, abs=1e-4)
        width = float(torch.nn.functional.softplus(torch.tensor(0.4327521))) + 0.05
        expected = np.exp(-0.5 * ((np.arange(4) - 2) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(weights[0].detach().numpy(), expected, rtol=1e-4)

    def test_it_sees_no_letter_that_is_not_there(self) -> None:
        attention, there = ForwardAttention(4, 2), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        weights, _ = attention(torch.zeros(1, 4), torch.zeros(1, 2), torch.arange(4.0), there)
        assert (weights[0, 2:] == 0).all() and (weights[0, :2] > 0).all()


class TestTacotron:
    @pytest.fixture
    def model(self) -> Tacotron:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Tacotron(TINY)

    def test_a_sentence_in_a_batch_is_said_as_alone(self, model: Tacotron) -> None:
        """Padding of letters and of frames reaches nobody; the dropout is off, since it draws by place in the batch."""
        model.config.__dict__["dropout"] = 0.0
        try:
            chance = torch.Generator().manual_seed(0)
            long, short = (
                Sentence(text, 0, torch.randn(n, 80, generator=chance)) for text, n in (("가나다라", 12), ("가", 6))
            )
            batch, alone = collate([long, short], 2), collate([short], 2)
            both = model(batch.letters, batch.speakers, batch.mels, chance)
            one = model(alone.letters, alone.speakers, alone.mels, chance)
            torch.testing.assert_close(both.rough[1, :6], one.rough[0])
            n_letters = len(jamo.numbers("가"))
            torch.testing.assert_close(both.alignment[1, :3, :n_letters], one.alignment[0])
            assert (both.alignment[1, :, n_letters:] == 0).all()
        finally:
            model.config.__dict__["dropout"] = 0.5

    def test_what_is_told_before_a_frame_is_what_came_before_it(self, model: Tacotron) -> None:
        said = collate([Sentence("가나", 0, torch.randn(8, 80, generator=torch.Generator().manual_seed(0)))], 2)

        def rough(frames: torch.Tensor) -> torch.Tensor:
            return model(said.letters, said.speakers, frames, torch.Generator().manual_seed(1)).rough[0]

        changed = said.mels.clone()
        changed[0, 3] += 1.0  # the last frame of the second step: heard by the third
        same = (rough(said.mels) == rough(changed)).all(dim=1)
        assert same.tolist() == [True] * 4 + [False] * 4
        unheard = said.mels.clone()
        unheard[0, 2] += 1.0
        assert torch.equal(rough(unheard), rough(said.mels))

    def test_the_loss_asks_nothing_of_padding(self) -> None:
        true, n_frames = torch.zeros(1, 4, 80), torch.tensor([3])
        off = torch.zeros(1, 4, 80)
        off[0, 3] = 100.0
        quiet = Spoken(true, true, torch.tensor([[-9.0, 9.0]]), torch.zeros(1, 2, 3))
        frames, stop = tacotron.loss(Spoken(off, off, quiet.stop, quiet.alignment), true, n_frames, 2)
        assert frames == 0 and stop < 0.01
        off[0, 0] = 0.5
        frames, _ = tacotron.loss(Spoken(off, true, quiet.stop, quiet.alignment), true, n_frames, 2)
        assert float(frames) == pytest.approx(0.5 / 3)
        _, early = tacotron.loss(Spoken(true, true, torch.tensor([[9.0, 9.0]]), quiet.alignment), true, n_frames, 2)
        assert early > 4

    def test_it_speaks_until_its_own_stop_token(self, model: Tacotron) -> None:
        letters = torch.tensor([jamo.numbers("가나다")])
        for bias, n_steps in ((50.0, 1), (-50.0, 7)):
            with torch.no_grad():
                model.stop.weight.zero_()
                model.stop.bias.fill_(bias)
            (said,) = model.speak(letters, torch.tensor([1]), torch.Generator().manual_seed(0), max_steps=7)
            assert said.alignment.shape == (n_steps, 7) and said.mels.shape == (2 * n_steps, 80)
            assert judge(said, "가나다", "x", 10, CONFIG, 7).stopped == (bias > 0)


def alignment(places: list[int], n_letters: int) -> Spoken:
    weights = torch.nn.functional.one_hot(torch.tensor(places), n_letters).float()
    return Spoken(torch.zeros(4, 80), torch.zeros(2 * len(places), 80), torch.ones(len(places)), weights)


def test_an_attempt_is_judged_by_what_was_looked_at() -> None:
    good = judge(alignment([0, 1, 2, 3], 4), "a", "x", 8, CONFIG, 9)
    assert good.stopped and good.is_in_order and good.letters_read == 1.0
    assert good.seconds == good.teacher_seconds == pytest.approx(0.1, abs=1e-3)
    skipped = judge(alignment([0, 0, 3, 1], 4), "a", "x", 8, CONFIG, 9)
    assert not skipped.is_in_order and skipped.letters_read == 0.75


def test_sentences_are_the_readable_ones_each_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(
        "Hi.\t안녕하세요.\tCC\nGo\t3월이에요.\tCC\nHi!\t안녕하세요.\tCC\n가.\n오늘은 쉬어요.\n", encoding="utf-8"
    )
    assert sentences_of(path, 2) == ["안녕하세요.", "오늘은 쉬어요."]
    with pytest.raises(UserError, match="has 2 different sentences"):
        sentences_of(path, 3)
    with pytest.raises(UserError, match="cannot be read"):
        sentences_of(tmp_path / "none.txt", 1)


def test_no_held_out_sentence_is_part_of_one_that_is_learnt() -> None:
    texts = ["나는 간다.", "나는 간다!", "오늘 나는 간다.", "비가 온다.", "눈이 온다."]
    for seed in range(8):
        learnt, held_out = split(texts, 2, seed)
        assert len(held_out) == 2 and learnt
        for one in held_out:
            bare = one.strip(".!")
            assert not any(bare in text or text.strip(".!") in one for text in learnt)


espeak_is_there = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("espeakng_loader") is None, reason="pip install espeakng-loader"
)


@espeak_is_there
def test_two_voices_say_the_same_in_as_much_time_and_at_another_pitch() -> None:
    one, other = (espeak.speak("안녕하세요.", voice) for voice in ("ko", "ko+f2"))
    assert 0.8 < len(one) / len(other) < 1.25
    middles = [
        float((mels.log_mel(torch.from_numpy(s / 32768.0).float(), CONFIG).exp().sum(1)).argmax()) for s in (one, other)
    ]
    assert middles[0] != middles[1]
    assert 0.5 < len(one) / espeak.sample_rate() < 3
    assert len(espeak.speak("안녕하세요. 반갑습니다.", "ko")) > 1.3 * len(one)
    with pytest.raises(UserError, match="no voice 'ko\\+nobody'"):
        espeak.speak("안녕", "ko+nobody")


@espeak_is_there
def test_the_study_goes_the_whole_way_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["안녕하세요.", "비가 와요.", "눈이 와요.", "어디에 가요?", "집에 가요.", "고마워요!"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "page.md").write_text("# x\n<!-- results -->\n<!-- /results -->\n", encoding="utf-8")
    monkeypatch.setattr(speech, "TacotronConfig", lambda **sizes: TINY)
    monkeypatch.setattr(mels, "griffin_lim", lambda mel, config: torch.zeros(100))

    page = str(tmp_path / "page.md")

    def run(out: str) -> dict[str, torch.Tensor]:
        arguments = ["--count", "6", "--held-out", "1", "--voices", "ko,ko+f2", "--updates", "6", "--page", page]
        speech.main([str(tmp_path / "texts.txt"), "-o", str(tmp_path / out), *arguments])
        return safetensors.torch.load_file(tmp_path / out / "state.safetensors")

    monkeypatch.setattr(speech, "_SAVE_EVERY", 2)
    straight = run("straight")
    # The teacher never says the same twice.
    shutil.copytree(tmp_path / "straight" / "recordings", tmp_path / "stopped" / "recordings")
    n_left, loss = 5, tacotron.loss

    def failing(*arguments: Any) -> Any:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KeyboardInterrupt
        return loss(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tacotron, "loss", failing)
        run("stopped")
    stopped = run("stopped")
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())
    assert "| ko+f2 | 1 |" in capsys.readouterr().out
    assert "| ko | 1 |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "straight" / "speech.json").read_text(encoding="utf-8"))
    assert found["updates"] == 6 and len(found["held_out"]) == 2
    held_out = found["held_out"][0]["text"]
    with wave.open(str(tmp_path / "straight" / "teacher" / "ko.0.wav")) as file:
        assert file.getframerate() == espeak.sample_rate() and file.getnframes() > 5000
    assert len(list((tmp_path / "straight" / "recordings" / "ko").iterdir())) == 5
    assert held_out in (tmp_path / "straight" / "texts.tsv").read_text(encoding="utf-8")
    assert "letter" in (tmp_path / "page.md").with_name("speech.svg").read_text(encoding="utf-8")
