"""From text to speech: Korean letters -> log-mel by a small net with attention -> sound.

    python -m moksori_studies.speech SENTENCES -o OUT

The half that a WaveNet lacks. eSpeak NG, a synthesiser of rules, says some hundred sentences in several voices; the net
(`tacotron.py`) learns to say their log-mels, and says sentences that it has never heard, frame by frame until its own
stop token. Sound is made of a log-mel by Griffin and Lim, or by a WaveNet conditioned on log-mel and speaker:

    moksori wavenet train OUT/recordings -o OUT/vocoder --tell singer --tell mel
    moksori wavenet generate OUT/vocoder --like OUT/said/ko.0.wav -s ko -o again.wav
"""

from __future__ import annotations

import argparse
import io
import json
import time
import warnings
import wave
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from moksori import atomic
from moksori.errors import UserError
from moksori_studies import commands, espeak, jamo, mels, pages, tacotron
from moksori_studies.mels import MelConfig
from moksori_studies.tacotron import Spoken, Tacotron, TacotronConfig
from moksori_studies.training import chance

_MIDDLE, _SPREAD = -4.5, 2.0  # of log-mels of this speech: what the net sees is around 0, of size 1
_MAX_LETTERS = 60  # a sentence longer than this is left out
_STATE = "state.safetensors"
_SAVE_EVERY = 50  # updates


@dataclass(frozen=True)
class Sentence:
    """A text, and what was made of it in one voice."""

    text: str
    speaker: int
    mel: Tensor  # [F, mels], as the net sees it


@dataclass(frozen=True)
class Batch:
    """Some sentences, filled up."""

    letters: Tensor  # [B, L]
    speakers: Tensor  # [B]
    mels: Tensor  # [B, F, mels], F a multiple of the frames of a step
    n_frames: Tensor  # [B]


def sentences_of(path: Path, n: int) -> list[str]:
    """Take the first `n` readable sentences of a text file, each once: lines, or fields between tabs.

    Raises:
        UserError: the file cannot be read, or has fewer.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as text ({error}); it should hold Korean sentences, one a line"
        ) from error
    fields = (field.strip() for line in lines for field in line.split("\t"))
    found = list(dict.fromkeys(f for f in fields if jamo.is_readable(f) and 6 <= len(jamo.letters(f)) <= _MAX_LETTERS))
    if len(found) < n:
        raise UserError(
            f"{path}: has {len(found)} different sentences of 6 to {_MAX_LETTERS} Korean letters without digits or "
            f"other scripts; {n} are asked for"
        )
    return found[:n]


def split(sentences: Sequence[str], n_held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """Sentences to learn from, and others, of which none is a part of one of those or the other way round."""
    order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = [sentences[i] for i in order[:n_held_out]]
    rest = [sentences[i] for i in order[n_held_out:]]
    bare = [_bare(text) for text in held_out]
    return [text for text in rest if not any(b in _bare(text) or _bare(text) in b for b in bare)], held_out


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter not in jamo.MARKS)


def seen(log_mel: Tensor) -> Tensor:
    """A log-mel `[mels, F]` as the net sees it, `[F, mels]`."""
    return ((log_mel - _MIDDLE) / _SPREAD).T


def unseen(mel: Tensor) -> Tensor:
    """The other way."""
    return mel.T * _SPREAD + _MIDDLE


def recorded(text: str, voice: str, path: Path, config: MelConfig) -> Tensor:
    """What the teacher says, without the silence around it, as a log-mel that the net sees.

    It is said once, kept as a file, and read from there when the study goes on: said anew it would be a little other.
    """
    if not path.exists():
        samples = torch.from_numpy(espeak.speak(text, voice).astype(np.float32) / 32768)
        loud = (samples.abs() > 0.01).nonzero().flatten()
        margin = config.sample_rate // 20
        write_wav(path, samples[max(0, int(loud[0]) - margin) : int(loud[-1]) + margin], config.sample_rate)
    with wave.open(str(path), "rb") as file:
        samples = torch.from_numpy(np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32))
    return seen(mels.log_mel(samples / 32768, config))


def collate(sentences: Sequence[Sentence], frames_a_step: int) -> Batch:
    """One batch of these sentences; padding is silence."""
    letters = [jamo.numbers(sentence.text) for sentence in sentences]
    longest = max(map(len, letters))
    n_frames = torch.tensor([len(sentence.mel) for sentence in sentences])
    n_whole = -(-int(n_frames.max()) // frames_a_step) * frames_a_step
    silence = float(seen(torch.full((1, 1), MelConfig().floor).log())[0, 0])
    padded = [functional.pad(s.mel, (0, 0, 0, n_whole - len(s.mel)), value=silence) for s in sentences]
    return Batch(
        torch.tensor([[*row, *[0] * (longest - len(row))] for row in letters]),
        torch.tensor([sentence.speaker for sentence in sentences]),
        torch.stack(padded),
        n_frames,
    )


def batches(sentences: Sequence[Sentence], size: int, frames_a_step: int, seed: int, start: int) -> Iterator[Batch]:
    """Batches without end from the `start`-th on, each a function of seed and number: neighbours in length together."""
    order = sorted(range(len(sentences)), key=lambda i: (len(sentences[i].mel), i))
    step = start
    while True:
        place = int(np.random.default_rng([seed, step]).integers(max(1, len(order) - size + 1)))
        yield collate([sentences[i] for i in order[place : place + size]], frames_a_step)
        step += 1


def learn(
    model: Tacotron, sentences: Sequence[Sentence], n_updates: int, out: Path, seed: int = 0, batch_size: int = 16
) -> list[float]:
    """Train up to `n_updates` in all, going on from the state in `out` if there is one.

    Adam with a rate that rises, then falls to a tenth over the updates asked for; every draw is a function of seed and
    number of the update, so a run that was stopped goes on as if it had not been.

    Returns:
        The loss of every update.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses: list[float] = []
    state = out / _STATE
    if state.exists():
        losses = _restore(state, model, optimiser)
    r = model.config.frames_a_step
    supply = batches(sentences, batch_size, r, seed, len(losses))
    began = time.monotonic()
    while len(losses) < n_updates:
        step, batch = len(losses), next(supply)
        rate = 2e-3 * min(1.0, (step + 1) / 50) * max(0.1, 1 - step / n_updates)
        for group in optimiser.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        said = model(batch.letters, batch.speakers, batch.mels, generator)
        frames, stop = tacotron.loss(said, batch.mels, batch.n_frames, r)
        optimiser.zero_grad()
        (frames + 0.1 * stop).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(frames.detach()))
        if len(losses) % _SAVE_EVERY == 0 or len(losses) == n_updates:
            recent = sum(losses[-50:]) / len(losses[-50:])
            print(f"update {len(losses)}: loss {recent:.3f}, {time.monotonic() - began:.0f} s", flush=True)
            atomic.write(state, safetensors.torch.save(_tensors(model, optimiser, losses)))
    return losses


def _tensors(model: Tacotron, optimiser: torch.optim.Optimizer, losses: Sequence[float]) -> dict[str, Tensor]:
    """All that a training goes on from, by name."""
    moments = optimiser.state_dict()["state"]
    return {
        **{f"model|{name}": tensor.contiguous() for name, tensor in model.state_dict().items()},
        **{f"adam|{i}|{name}": tensor for i, own in moments.items() for name, tensor in own.items()},
        "losses": torch.tensor(losses, dtype=torch.float64),
    }


def _restore(path: Path, model: Tacotron, optimiser: torch.optim.Optimizer) -> list[float]:
    """Take up what `_tensors` laid by; the losses so far are returned."""
    tensors = safetensors.torch.load_file(path)
    losses: list[float] = tensors.pop("losses").tolist()
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "adam": {}}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("|")
        parts[kind][name] = tensor
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in parts["adam"].items():
        number, _, name = key.partition("|")
        moments.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return losses


@dataclass(frozen=True)
class Attempt:
    """How a held-out sentence was said."""

    text: str
    voice: str
    stopped: bool  # by its own stop token
    letters_read: float  # share of the letters that some step looked at more than at any other
    is_in_order: bool  # no step looked further back than one letter before the step before it
    seconds: float
    teacher_seconds: float


def judge(said: Spoken, text: str, voice: str, teacher_frames: int, config: MelConfig, max_steps: int) -> Attempt:
    """Look at an alignment: whether all was read, in order, and whether it knew the end."""
    places = said.alignment.argmax(dim=1)
    steps = places[1:] - places[:-1]
    return Attempt(
        text,
        voice,
        stopped=bool(said.stop[-1] > 0) and len(said.stop) < max_steps,
        letters_read=_covered(said.alignment),
        is_in_order=bool((steps >= -1).all()),
        seconds=len(said.mels) * config.hop_samples / config.sample_rate,
        teacher_seconds=teacher_frames * config.hop_samples / config.sample_rate,
    )


def _covered(alignment: Tensor) -> float:
    """Share of letters that were looked at with a fifth of all attention, or more, in some step."""
    return float((alignment.amax(dim=0) >= 0.2).double().mean())


def draw_alignment(said: Spoken, text: str, path: Path) -> None:
    """Draw how much each step looked at each letter."""
    figure, (axis,) = pages.panels(1, 5.0, 3.4)
    axis.imshow(said.alignment.T.numpy(), aspect="auto", origin="lower", cmap="Blues", interpolation="nearest")
    n_letters = said.alignment.shape[1]
    names = [*jamo.letters(text), "end"][:n_letters]
    axis.set_yticks(range(n_letters), [name if name != " " else "\u2423" for name in names], fontsize=5)
    pages.label(axis, "step of 50 ms", "letter", text)
    with warnings.catch_warnings():
        # Words stay text in the picture: what shows it has Korean letters, whether Matplotlib's own font does or not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        pages.write_svg(figure, path)


def write_wav(path: Path, samples: Tensor, sample_rate: int) -> None:
    """16 bits, one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((samples.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().tobytes())
    atomic.write(path, content.getvalue())


def speak_held_out(
    model: Tacotron, texts: Sequence[str], voices: Sequence[str], out: Path, config: MelConfig, seed: int
) -> list[Attempt]:
    """Say held-out sentences in every voice; beside each the teacher, and the teacher's log-mel by Griffin and Lim."""
    attempts, max_steps = [], 300
    for number, voice in enumerate(voices):
        for index, text in enumerate(texts):
            letters = torch.tensor([jamo.numbers(text)])
            generator = torch.Generator().manual_seed(seed + index)
            (said,) = model.speak(letters, torch.tensor([number]), generator, max_steps)
            name = f"{voice}.{index}"
            true_mel = recorded(text, voice, out / "teacher" / f"{name}.wav", config)
            for folder, mel in (("copied", true_mel), ("said", said.mels)):
                sound = mels.griffin_lim(unseen(mel), config)
                write_wav(out / folder / f"{name}.wav", sound, config.sample_rate)
            if number == 0:
                draw_alignment(said, text, out / f"alignment.{index}.svg")
            attempts.append(judge(said, text, voice, len(true_mel), config, max_steps))
    atomic.write(
        out / "texts.tsv", "".join(f"{voice}.{i}\t{t}\n" for voice in voices for i, t in enumerate(texts)).encode()
    )
    return attempts


def report(attempts: Sequence[Attempt]) -> str:
    """Make a table: a row a voice."""
    rows = []
    for voice in dict.fromkeys(attempt.voice for attempt in attempts):
        own = [attempt for attempt in attempts if attempt.voice == voice]

        def mean(values: Sequence[float]) -> float:
            return sum(values) / len(values)

        rows.append(
            [
                voice,
                f"{len(own)}",
                f"{sum(a.stopped for a in own)}",
                f"{sum(a.is_in_order for a in own)}",
                f"{100 * mean([a.letters_read for a in own]):.0f} %",
                f"{mean([a.seconds / a.teacher_seconds for a in own]):.2f}",
            ]
        )
    head = ["voice", "sentences", "stopped by itself", "read in order", "letters read", "length, of the teacher's"]
    return pages.table(head, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="speech", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sentences", type=Path, help="text file with Korean sentences, one a line or between tabs")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder; what was learnt there goes on")
    parser.add_argument("--count", type=int, default=600, help="sentences to say, held-out ones included (600)")
    parser.add_argument("--held-out", type=int, default=12, help="sentences that are not learnt from (12)")
    parser.add_argument("--voices", default=",".join(espeak.VOICES), help=f"of eSpeak NG ({','.join(espeak.VOICES)})")
    parser.add_argument("--updates", type=int, default=2000, help="of the net, in all (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (0)")
    parser.add_argument("--page", type=Path, help="put the table into this page, and beside it speech.json, speech.svg")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)  # steps as small as these are not worth sharing
    voices, config = asked.voices.split(","), MelConfig(sample_rate=espeak.sample_rate())
    texts, held_out = split(sentences_of(asked.sentences, asked.count), asked.held_out, asked.seed)
    asked.output.mkdir(parents=True, exist_ok=True)
    sentences = []
    for speaker, voice in enumerate(voices):
        for index, text in enumerate(texts):
            path = asked.output / "recordings" / voice / f"{index}.wav"
            sentences.append(Sentence(text, speaker, recorded(text, voice, path, config)))
    minutes = sum(len(s.mel) for s in sentences) * config.hop_samples / config.sample_rate / 60
    print(f"{len(texts)} sentences in {len(voices)} voices, {minutes:.0f} minutes", flush=True)
    with chance(asked.seed):
        model = Tacotron(TacotronConfig(n_mels=config.n_mels, n_speakers=len(voices)))
    losses = learn(model, sentences, asked.updates, asked.output, asked.seed)
    attempts = speak_held_out(model, held_out, voices, asked.output, config, asked.seed)
    print("\n" + report(attempts))
    found = {
        "updates": len(losses),
        "minutes": round(minutes),
        "loss": losses[-1],
        "held_out": [asdict(a) for a in attempts],
    }
    content = (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()
    atomic.write(asked.output / "speech.json", content)
    if asked.page is not None:
        pages.put(asked.page, "results", report(attempts))
        atomic.write(asked.page.with_name("speech.json"), content)
        longest = max(range(len(held_out)), key=lambda index: len(held_out[index]))
        picture = (asked.output / f"alignment.{longest}.svg").read_bytes()
        atomic.write(asked.page.with_name("speech.svg"), picture)


if __name__ == "__main__":
    commands.start(main)
