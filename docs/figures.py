"""Draw the guide's figures, from the package's own code, in both languages.

    python docs/figures.py              all, into docs/guide/en/figures and docs/guide/ko/figures; half a minute
    python docs/figures.py mulaw stack  only these

Text stays text in the SVG files, so a Korean figure is the English one with its words replaced (`KOREAN`).
"""

from __future__ import annotations

import html
import io
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import moksori
from moksori import atomic
from moksori.audio import features, files, mulaw, resample, signals, spectral
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.audio.spectral import SpectralConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import bins_hz, reading
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.training.phases import mixup
from moksori.training.phases.mixup import MixupConfig

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import synthetic  # noqa: E402  (the invented singers of the tests)

GUIDE = ROOT / "docs" / "guide"
INK, RED, BLUE, GREY, PALE = "#222222", "#b8432a", "#2b6ca3", "#888888", "#dbe7f1"
SONG = ROOT / "demo" / "arirang.flac"

KOREAN = {
    "time, s": "시간(초)",
    "time, ms": "시간(ms)",
    "samples": "샘플",
    "0.6 s of an invented singer": "가상 가수의 노래 0.6초",
    "4 ms of it: every dot is a number": "그중 4 ms: 점 하나가 숫자 하나",
    "amplitude": "진폭",
    "code": "코드",
    "mu-law": "mu-law",
    "evenly spaced": "균등 간격",
    "amplitude to code": "진폭에서 코드로",
    "signal over rounding noise": "신호 대 양자화 잡음비",
    "level of the tone, dBFS": "소리의 세기(dBFS)",
    "dB": "dB",
    "dilation 1": "팽창 1",
    "dilation 2": "팽창 2",
    "dilation 4": "팽창 4",
    "dilation 8": "팽창 8",
    "past samples": "지난 샘플",
    "next sample": "다음 샘플",
    "samples after the change": "바꾼 샘플에서 몇 샘플 뒤인가",
    "largest change of a score": "점수의 최대 변화",
    "field 512": "수용 영역 512",
    "from the layer below": "아래층에서",
    "condition": "조건",
    "dilated convolution": "팽창 합성곱",
    "sigmoid: the gate": "sigmoid: 게이트",
    "tanh: the signal": "tanh: 신호",
    "to the layer above": "위층으로",
    "to the sum of skips": "스킵 합으로",
    "1x1": "1x1",
    "temperature 0.5": "온도 0.5",
    "temperature 1": "온도 1",
    "temperature 2": "온도 2",
    "probability": "확률",
    "encoder": "인코더",
    "decoder": "디코더",
    "latent z": "잠재 표현 z",
    "clip of A": "A의 노래",
    "the same clip, rebuilt": "다시 만든 같은 노래",
    "confusion network": "혼동 네트워크",
    "who sings?": "누구일까?",
    "singer A": "가수 A",
    "singer B": "가수 B",
    "in training": "학습할 때",
    "in conversion": "변환할 때",
    "the clip, sung by B": "B가 부른 그 노래",
    "hide it!": "들키지 마!",
    "virtual singer u": "가상 가수 u",
    "sung by u": "u가 부른 노래",
    "should be the clip of A": "A의 원래 노래여야 한다",
    "sampled, no gradient": "샘플링, 기울기 없음",
    "learnt": "학습하는 구간",
    "share of the true singer": "원래 가수의 비율 w",
    "density": "밀도",
    "first axis": "첫째 축",
    "second axis": "둘째 축",
    "frequency, Hz": "주파수(Hz)",
    "frequency, kHz": "주파수(kHz)",
    "envelope of the harmonics": "배음의 스펙트럼 포락선",
    "envelope of the noise": "잡음의 스펙트럼 포락선",
    "what is sung": "합성된 소리",
    "level, dB": "세기(dB)",
    "pitch": "음높이",
    "the song": "원곡",
    "an octave lower": "한 옥타브 아래",
    "channel of the latent": "잠재 표현의 채널",
    "training step": "학습 스텝",
    "nats a sample": "샘플당 nat",
    "another clip's latent": "다른 클립의 잠재 표현",
    "its own latent": "자기 잠재 표현",
    "knows nothing: 5.545": "아무것도 모를 때: 5.545",
}


def waveform() -> Figure:
    """Sound as numbers."""
    sung = _invented_song().clip
    start = sung.sample_rate // 2
    picture, (wide, near) = _axes(1, 2, (9, 2.5))
    seconds = np.arange(int(0.6 * sung.sample_rate)) / sung.sample_rate
    wide.plot(seconds, sung.samples[start : start + len(seconds)], color=BLUE, linewidth=0.5)
    wide.set(title="0.6 s of an invented singer", xlabel="time, s", ylabel="amplitude")
    few = int(0.004 * sung.sample_rate)
    near.plot(
        np.arange(few) / sung.sample_rate * 1000, sung.samples[start : start + few], ".-", color=BLUE, lw=0.7, ms=4
    )
    near.set(title="4 ms of it: every dot is a number", xlabel="time, ms")
    return picture


def mulaw_figure() -> Figure:
    """The curve of mu-law, and what it buys."""
    picture, (curve, noise) = _axes(1, 2, (9, 3))
    x = torch.linspace(-1, 1, 2001)
    curve.plot(x, mulaw.encode(x), color=RED, lw=1.2, label="mu-law")
    curve.plot(x, torch.round((x + 1) / 2 * 255), color=GREY, lw=1.2, label="evenly spaced")
    curve.set(title="amplitude to code", xlabel="amplitude", ylabel="code", xlim=(-1, 1), ylim=(0, 255))
    curve.legend(frameon=False)
    levels = np.arange(-60.0, 0.1, 2.0)
    both = np.array([signal_to_noise_db(level) for level in levels])
    noise.plot(levels, both[:, 0], color=RED, lw=1.4, label="mu-law")
    noise.plot(levels, both[:, 1], color=GREY, lw=1.4, label="evenly spaced")
    noise.set(title="signal over rounding noise", xlabel="level of the tone, dBFS", ylabel="dB", ylim=(-5, 55))
    noise.legend(frameon=False)
    return picture


def signal_to_noise_db(level_dbfs: float) -> tuple[float, float]:
    """How far rounding to 256 values lies below a tone: with mu-law, and with evenly spaced values."""
    tone = torch.from_numpy(signals.tone(220.3, 1.0, 16_000, amplitude=10 ** (level_dbfs / 20)).samples).double()
    rounded = [mulaw.decode(mulaw.encode(tone)).double(), torch.round((tone + 1) / 2 * 255) / 255 * 2 - 1]
    power = float(tone.square().mean())
    mulaw_db, even_db = (10 * np.log10(power / float((way - tone).square().mean())) for way in rounded)
    return float(mulaw_db), float(even_db)


def stack() -> Figure:
    """Which past samples an output sees through four dilated layers."""
    picture, axes = _canvas((9, 3.2), (-1.5, 16.9), (-0.7, 4.6))
    seen = {15}
    n_layers = 4
    paths: list[set[int]] = [set() for _ in range(n_layers + 1)]
    paths[n_layers] = {15}
    for layer in range(n_layers - 1, -1, -1):
        seen = {place - back for place in paths[layer + 1] for back in (0, 2**layer)}
        paths[layer] = seen
    for layer in range(n_layers):
        for place in range(16):
            for back in (0, 2**layer):
                if place - back >= 0:
                    on = place in paths[layer + 1]
                    axes.plot(
                        [place - back, place],
                        [layer, layer + 1],
                        color=RED if on else "#dddddd",
                        lw=1.3 if on else 0.6,
                        zorder=2 if on else 1,
                    )
    for layer in range(n_layers + 1):
        for place in range(16):
            on = place in paths[layer]
            axes.plot(
                place, layer, "o", color=(RED if layer else BLUE) if on else "#cccccc", ms=8 if on else 6, zorder=3
            )
        if layer:
            axes.text(16, layer - 0.5, f"dilation {2 ** (layer - 1)}", va="center", fontsize=9)
    axes.text(7.5, -0.55, "past samples", ha="center", fontsize=10)
    axes.text(15, 4.3, "next sample", ha="center", fontsize=10)
    return picture


def field() -> Figure:
    """The receptive field of the decoder of recipe small, measured: change one code, see which scores move."""
    config = WaveNetConfig(blocks=2, layers=8, residual_channels=48, skip_channels=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = WaveNet(config).double()
    codes = torch.full((1, 800), mulaw.SILENCE)
    changed = codes.clone()
    changed[0, 100] = 200
    with torch.no_grad():
        moved = (net(changed) - net(codes)).abs().amax(dim=1)[0, 100:].numpy()
    reached = np.flatnonzero(moved)
    assert reached[0] == 1 and reached[-1] == config.receptive_field, (reached[0], reached[-1])
    picture, (axes,) = _axes(1, 1, (9, 2.6))
    axes.semilogy(np.arange(len(moved)), np.where(moved > 0, moved, np.nan), color=BLUE, lw=0.8)
    axes.axvline(config.receptive_field, color=RED, lw=1, ls="--")
    axes.text(config.receptive_field + 6, moved.max() / 3, f"field {config.receptive_field}", color=RED, fontsize=9)
    axes.set(xlabel="samples after the change", ylabel="largest change of a score", xlim=(0, 700))
    return picture


def layer() -> Figure:
    """One layer of the WaveNet."""
    picture, axes = _canvas((9, 3.6), (0, 18), (0, 7.2))
    _words(axes, 1.6, 3.5, "from the layer below")
    _box(axes, 5.2, 3.5, 3.2, "dilated convolution")
    _box(axes, 5.2, 6.3, 3.2, "condition", "#f3e3d3")
    _box(axes, 9.6, 4.6, 2.9, "sigmoid: the gate")
    _box(axes, 9.6, 2.4, 2.9, "tanh: the signal")
    _round(axes, 12.2, 3.5, "×")
    _box(axes, 13.9, 3.5, 1.1, "1x1")
    _round(axes, 15.6, 3.5, "+")
    _box(axes, 13.9, 1.4, 1.1, "1x1")
    for a, b in [
        ((3.0, 3.5), (3.6, 3.5)), ((6.8, 3.5), (8.1, 4.6)), ((6.8, 3.5), (8.1, 2.4)), ((6.8, 6.3), (8.1, 4.9)),
        ((6.8, 6.3), (8.1, 2.8)), ((11.1, 4.6), (12.0, 3.8)), ((11.1, 2.4), (12.0, 3.2)), ((12.5, 3.5), (13.3, 3.5)),
        ((14.5, 3.5), (15.3, 3.5)), ((15.6, 3.8), (15.6, 6.5)), ((12.35, 3.25), (13.3, 1.5)),
        ((14.5, 1.4), (15.4, 1.4)),
    ]:  # fmt: skip
        _arrow(axes, a, b)
    axes.plot([3.2, 3.2, 15.6], [3.5, 0.4, 0.4], color=INK, lw=1)
    _arrow(axes, (15.6, 0.4), (15.6, 3.2))
    axes.text(15.8, 6.6, "to the layer above", ha="center", fontsize=9)
    axes.text(15.9, 1.4, "to the sum of skips", ha="left", va="center", fontsize=9, clip_on=False)
    return picture


def temperature() -> Figure:
    """Softmax at three temperatures."""
    codes = np.arange(256)
    scores = 5 * np.exp(-((codes - 120) ** 2) / 400) + 4.2 * np.exp(-((codes - 160) ** 2) / 150)
    picture, (axes,) = _axes(1, 1, (9, 2.6))
    for heat, colour in ((0.5, RED), (1.0, INK), (2.0, GREY)):
        law = torch.softmax(torch.from_numpy(scores) / heat, dim=0)
        axes.plot(codes, law, color=colour, lw=1.3, label=f"temperature {heat:g}")
    axes.set(xlabel="code", ylabel="probability", xlim=(0, 255), ylim=(0, None))
    axes.legend(frameon=False)
    return picture


def system() -> Figure:
    """Phase 1, and conversion."""
    picture, axes = _canvas((9, 4.6), (0, 18), (-0.3, 9.2))
    for base, target, singer, name, colour in (
        (6.6, "the same clip, rebuilt", "singer A", "in training", "#f3e3d3"),
        (1.4, "the clip, sung by B", "singer B", "in conversion", "#f6d5cd"),
    ):
        axes.text(0.1, base + 1.9, name, fontsize=11, weight="bold", ha="left")
        _words(axes, 1.3, base, "clip of A")
        _box(axes, 4.3, base, 2.4, "encoder")
        _box(axes, 8.0, base, 2.2, "latent z", "#ffffff")
        _box(axes, 11.7, base, 2.4, "decoder")
        _words(axes, 15.6, base, target)
        _box(axes, 11.7, base + 2.0, 2.2, singer, colour)
        for a, b in [
            ((2.3, base), (3.1, base)),
            ((5.5, base), (6.9, base)),
            ((9.1, base), (10.5, base)),
            ((12.9, base), (13.7, base)),
            ((11.7, base + 1.55), (11.7, base + 0.5)),
        ]:
            _arrow(axes, a, b)
    _box(axes, 8.0, 4.5, 3.4, "confusion network", "#eeeeee")
    _arrow(axes, (8.0, 6.1), (8.0, 5.0))
    _arrow(axes, (6.3, 4.5), (4.3, 6.05), RED)
    axes.text(4.1, 4.7, "hide it!", color=RED, fontsize=9, ha="center")
    axes.text(10.0, 4.5, "who sings?", fontsize=9, va="center")
    return picture


def back_translation() -> Figure:
    """Phase 2."""
    picture, axes = _canvas((9, 2.7), (0, 23.6), (-0.6, 4.6))
    _words(axes, 1.2, 1.4, "clip of A")
    for x, name, colour in (
        (4.2, "encoder", PALE),
        (7.4, "decoder", PALE),
        (14.2, "encoder", PALE),
        (17.4, "decoder", PALE),
    ):
        _box(axes, x, 1.4, 2.3, name, colour)
    _box(axes, 7.4, 3.5, 3.0, "virtual singer u", "#f6d5cd")
    _box(axes, 17.4, 3.5, 2.2, "singer A", "#f3e3d3")
    _words(axes, 10.8, 1.4, "sung by u")
    _words(axes, 21.3, 1.4, "should be the clip of A")
    for a, b in [
        ((2.2, 1.4), (3.0, 1.4)),
        ((5.4, 1.4), (6.2, 1.4)),
        ((8.6, 1.4), (9.4, 1.4)),
        ((12.1, 1.4), (13.0, 1.4)),
        ((15.4, 1.4), (16.2, 1.4)),
        ((18.6, 1.4), (19.2, 1.4)),
        ((7.4, 3.05), (7.4, 1.9)),
        ((17.4, 3.05), (17.4, 1.9)),
    ]:
        _arrow(axes, a, b)
    for left, right, words, colour in ((2.6, 9.4, "sampled, no gradient", GREY), (12.6, 19.0, "learnt", RED)):
        axes.plot([left, left, right, right], [0.6, 0.3, 0.3, 0.6], color=colour, lw=1)
        axes.text((left + right) / 2, -0.3, words, ha="center", fontsize=9, color=colour)
    return picture


def mixup_laws() -> Figure:
    """Beta(a, a) for three a: the density, and shares as training draws them."""
    picture, places = _axes(1, 3, (9, 2.6))
    share = torch.linspace(0.002, 0.998, 500).double()
    for axes, parameter in zip(places, (0.2, 1.0, 5.0), strict=True):
        drawn = mixup.shares(MixupConfig(beta_parameter=parameter), 20_000, np.random.default_rng(0))
        law = torch.distributions.Beta(torch.tensor(parameter).double(), torch.tensor(parameter).double())
        axes.hist(drawn, bins=40, range=(0, 1), density=True, color="#9ecae1")
        density = law.log_prob(share).exp()  # type: ignore[no-untyped-call]
        axes.plot(share, density, color=RED, lw=1.5)
        axes.set(
            xlim=(0, 1), ylim=(0, 4), title=f"Beta({parameter:g}, {parameter:g})", xlabel="share of the true singer"
        )
    places[0].set_ylabel("density")
    return picture


def singers() -> Figure:
    """The shipped voice's singers, and virtual ones between them, on the plane that shows most of it."""
    table = _voice().model.singers
    vectors = table.table.weight.detach().double()
    centred = vectors - vectors.mean(dim=0)
    plane = torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    chance = np.random.default_rng(0)
    who = np.repeat(np.arange(len(table.names)), 40)
    other = mixup.partners(who, len(table.names), chance)
    share = torch.from_numpy(mixup.shares(MixupConfig(), len(who), chance))[:, None]
    virtual = share * centred[who] + (1 - share) * centred[other]
    picture, (axes,) = _axes(1, 1, (7, 3.8))
    spots = (virtual @ plane).numpy()
    axes.plot(spots[:, 0], spots[:, 1], ".", color=BLUE, ms=3, alpha=0.5)
    for name, (x, y) in zip(table.names, (centred @ plane).numpy(), strict=True):
        axes.plot(x, y, "o", color=RED, ms=6)
        axes.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.set(xlabel="first axis", ylabel="second axis")
    return picture


def swift() -> Figure:
    """What the decoder of the shipped voice says at one moment of Arirang, and the sound that comes of it."""
    voice, told = _voice(), _told()
    frame = _loud_frame(told["told"])
    model = _swift()
    with torch.no_grad():
        controls = model.controls(told["z"], told["told"], voice.vector("kumi")[None])
    config = model.config.synthesiser
    window = 2048
    hz = bins_hz(config, window)
    read = reading(config, hz)
    picture, places = _axes(1, 2, (9, 2.8))
    for bands, colour, name in (
        (controls.harmonics, RED, "envelope of the harmonics"),
        (controls.noise, GREY, "envelope of the noise"),
    ):
        power = read @ torch.exp(2 * bands[0, :, frame])
        places[0].plot(hz / 1000, 10 * torch.log10(power + 1e-12), color=colour, lw=1.4, label=name)
    places[0].set(xlabel="frequency, kHz", ylabel="level, dB", xlim=(0, 6), ylim=(-95, 5))
    places[0].legend(frameon=False, fontsize=8)
    sung = resample.resample(_sung("kumi").samples, _sung("kumi").sample_rate, config.sample_rate)
    middle = frame * config.hop_samples
    piece = torch.from_numpy(sung[middle - window // 2 : middle + window // 2].copy())
    spectrum = spectral.magnitude(piece, SpectralConfig(config.sample_rate, window, window // 2))[:, 1]
    places[1].plot(hz / 1000, 20 * torch.log10(spectrum + 1e-6), color=BLUE, lw=0.7)
    places[1].set(xlabel="frequency, kHz", title="what is sung", xlim=(0, 6), ylim=(-95, 5))
    return picture


def latent() -> Figure:
    """What the decoder of the shipped voice is told of six seconds of Arirang."""
    told = _told()
    seconds = 6.0
    config = _swift().config
    n_frames = int(seconds * config.sample_rate / config.hop_samples)
    picture, (above, below) = _axes(2, 1, (9, 3.6), sharex=True)
    z = told["z"][0]
    z = z[:, : int(seconds * config.sample_rate / config.latent_hop_samples)]
    above.imshow(z, aspect="auto", origin="lower", cmap="RdBu", extent=(0, seconds, 0, len(z)), interpolation="nearest")
    above.set(ylabel="channel of the latent")
    f0 = features.f0_hz(told["told"])[0, :n_frames].numpy()
    below.plot(np.arange(n_frames) * seconds / n_frames, np.where(f0 > 0, f0, np.nan), color=RED, lw=1.4)
    below.set(ylabel="pitch", xlabel="time, s", yscale="log", xlim=(0, seconds))
    below.set_yticks([], minor=True)
    below.set_yticks([220, 330, 440], ["A3", "E4", "A4"])
    return picture


def melody() -> Figure:
    """The pitch of Arirang, and of what a singer of the shipped voice makes of it."""
    picture, (axes,) = _axes(1, 1, (9, 2.8))
    for clip, name, colour in (
        (files.read(SONG), "the song", GREY),
        (_sung("scottpoid"), "scottpoid", RED),
        (_sung("syn_child"), "syn_child", BLUE),
    ):
        track = PitchTracker().track(clip)
        f0 = np.where(track.f0_hz > 0, track.f0_hz, np.nan)
        axes.plot(
            np.arange(len(f0)) * track.hop_seconds,
            f0,
            color=colour,
            lw=3 if name == "the song" else 1.2,
            alpha=0.5 if name == "the song" else 1,
            label=name,
        )
    axes.set(xlabel="time, s", ylabel="pitch", yscale="log", xlim=(0, 20), ylim=(120, 1200))
    axes.set_yticks([], minor=True)
    axes.set_yticks([220, 440, 880], ["A3", "A4", "A5"])
    axes.legend(frameon=False, ncols=3, loc="upper right", fontsize=8)
    return picture


def loss() -> Figure:
    """The loss of the recorded hour of recipe small, from the table in docs/log.md."""
    text = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    table = text[text.index("| step | own latent") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    step, own, other = (np.array([float(row[column]) for row in rows]) for column in range(3))
    picture, (axes,) = _axes(1, 1, (9, 2.8))
    axes.axhline(np.log(256), color=GREY, ls="--", lw=1)
    axes.text(step[-1], np.log(256) + 0.06, "knows nothing: 5.545", color=GREY, ha="right", fontsize=9)
    axes.plot(step, other, "o-", color=BLUE, label="another clip's latent")
    axes.plot(step, own, "o-", color=RED, label="its own latent")
    axes.set(xlabel="training step", ylabel="nats a sample", ylim=(2.5, 6))
    axes.legend(frameon=False, loc="center right")
    return picture


FLOORS = (
    ("cli", 7), ("studio", 6), ("evaluation", 5), ("training", 4), ("conversion", 4), ("checkpoint", 3),
    ("generation", 3),
    ("models", 2), ("data", 2), ("audio", 1), ("errors, settings, atomic", 0),
)  # fmt: skip


def floors() -> Figure:
    """The house."""
    there = [
        (name, floor)
        for name, floor in FLOORS
        if "," in name or (ROOT / "src/moksori" / name).exists() or (ROOT / f"src/moksori/{name}.py").exists()
    ]
    picture, axes = _canvas((9, 4.1), (-0.8, 16), (-0.6, 7.7))
    for floor in range(8):
        names = [name for name, on in there if on == floor]
        width = 14 / len(names)
        for place, name in enumerate(names):
            _box(
                axes, 1 + width * (place + 0.5), floor, width - 0.3, name, PALE if floor % 2 else "#f3e3d3", height=0.8
            )
        axes.text(0.2, floor, str(floor), va="center", ha="center", fontsize=10, color=GREY)
    return picture


FIGURES: dict[str, Callable[[], Figure]] = {
    "waveform": waveform,
    "mulaw": mulaw_figure,
    "stack": stack,
    "field": field,
    "layer": layer,
    "temperature": temperature,
    "system": system,
    "back-translation": back_translation,
    "mixup": mixup_laws,
    "singers": singers,
    "swift": swift,
    "latent": latent,
    "melody": melody,
    "loss": loss,
    "floors": floors,
}


# What is drawn


@cache
def _voice() -> moksori.Voice:
    return moksori.load()


def _swift() -> SourceFilterModel:
    """The shipped voice's nets."""
    model = _voice().model
    assert isinstance(model, SourceFilterModel)
    return model


@cache
def _sung(singer: str) -> Clip:
    """Arirang by a singer of the shipped voice."""
    song = files.read(SONG)
    return Clip(_voice().convert(song.samples, song.sample_rate, singer=singer), song.sample_rate)


@cache
def _told() -> dict[str, torch.Tensor]:
    """What the decoder of the shipped voice is told of Arirang: the latent, and features with pitch; a batch of one."""
    model = _swift()
    config = model.config.features
    song = files.read(SONG)
    clip = Clip(resample.resample(song.samples, song.sample_rate, config.sample_rate), config.sample_rate)
    track = PitchTracker().track(song)
    heard = features.of(clip.samples, track, config)
    told = features.excerpt(heard, features.loud_mean(heard, config)[0])[None]
    with torch.no_grad():
        z = model.encode(told)
    return {"z": z, "told": told}


def _loud_frame(told: torch.Tensor) -> int:
    """The loudest voiced frame of features."""
    level_dbfs = features.levels_dbfs(told)[0]
    return int(torch.where(features.f0_hz(told)[0] > 0, level_dbfs, torch.full_like(level_dbfs, -200.0)).argmax())


def _invented_song() -> synthetic.Rendering:
    notes = [synthetic.Note(57, 0.5, "a"), synthetic.Note(60, 0.5, "i"), synthetic.Note(64, 0.6, "u")]
    return synthetic.render(notes, synthetic.SINGERS[1], 16_000, np.random.default_rng(0))


# How


def _axes(rows: int, columns: int, size: tuple[float, float], **more: Any) -> tuple[Figure, list[Axes]]:
    picture = Figure(figsize=size, layout="constrained")
    found = picture.subplots(rows, columns, squeeze=False, **more)
    for axes in found.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return picture, list(found.flat)


def _canvas(size: tuple[float, float], across: tuple[float, float], up: tuple[float, float]) -> tuple[Figure, Axes]:
    picture = Figure(figsize=size, layout="constrained")
    axes = picture.add_subplot()
    axes.set(xlim=across, ylim=up)
    axes.axis("off")
    return picture, axes


def _box(axes: Axes, x: float, y: float, width: float, words: str, colour: str = PALE, height: float = 0.95) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.15",
            facecolor=colour,
            edgecolor=INK,
            linewidth=0.8,
        )
    )
    _words(axes, x, y, words)


def _round(axes: Axes, x: float, y: float, words: str) -> None:
    axes.plot(x, y, "o", ms=15, markerfacecolor="white", markeredgecolor=INK, markeredgewidth=0.8)
    _words(axes, x, y, words)


def _words(axes: Axes, x: float, y: float, words: str) -> None:
    axes.text(x, y, words, ha="center", va="center", fontsize=9)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    )


def svg(picture: Figure) -> str:
    """A drawing as SVG, the same every time."""
    with mpl.rc_context({"svg.hashsalt": "moksori", "svg.fonttype": "none"}):
        content = io.StringIO()
        picture.savefig(content, format="svg", metadata={"Date": None})
    return re.sub(r"[ \t]+\n", "\n", content.getvalue())


def words_of(drawing: str) -> set[str]:
    """The words in a drawing that a reader of another language would want in theirs."""
    found = {html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawing)}
    return {text for text in found if re.search(r"[a-z]{2}", text)}


def in_korean(drawing: str) -> str:
    """The same drawing with Korean words; names and what is not in `KOREAN` stay."""

    def word(found: re.Match[str]) -> str:
        return found[1] + html.escape(_korean(html.unescape(found[2])), quote=False) + "</text>"

    return re.sub(r"(<text[^>]*>)([^<]*)</text>", word, drawing)


def _korean(words: str) -> str:
    return KOREAN.get(words, words)


def main(names: list[str]) -> None:
    """Draw figures, all if none is named."""
    torch.set_num_threads(1)
    for name in names or FIGURES:
        drawing = svg(FIGURES[name]())
        for language, text in (("en", drawing), ("ko", in_korean(drawing))):
            folder = GUIDE / language / "figures"
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(folder / f"{name}.svg", text.encode())
        print(f"{name}: {len(drawing) // 1024} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
