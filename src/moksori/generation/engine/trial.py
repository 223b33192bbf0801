"""Self-test of the engine on this machine: run once, in a process of its own, and remembered.

The engine's code is made for the processor at hand. Where that goes wrong, it may end the process without a word. So
another process generates and encodes with small nets, precision by precision, and compares with torch; what came out
well is what is used from then on, and the reason for the rest is kept for those who ask (`moksori doctor`).

Nothing here needs numba at import: where it is missing, the verdict says so.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from moksori import atomic, documents, surroundings
from moksori.errors import UserError

_TIER_VARIABLE = "MOKSORI_ENGINE_TIER"  # as in `cpu`, which cannot be imported without numba's LLVM
_TIERS = ("", "avx2", "portable")  # the best one, and what is tried after it has failed
_TRIAL = "import sys; sys.path.append(sys.argv[1]); from moksori.generation.engine import trial; trial.main()"
_TIMEOUT_SECONDS = 900
_COMPARED = ("conditions", "encoder", "layers", "wavenet")  # modules that the engine is compared with
# Illegal instruction, memory that is not one's own, LLVM giving up; on Windows as NTSTATUS.
_ENDED_BY_PROCESSOR = (-signal.SIGILL, -signal.SIGSEGV, -signal.SIGABRT, 0xC000001D, 0xC0000005, 3)
_TOLERANCES = {
    "float32": 1e-4,
    "bfloat16": 0.03,
    "int8": 0.1,
}  # of logits and of z in its own spread, RMS; largest for float32


@dataclass(frozen=True)
class Verdict:
    """What the engine can do here."""

    tier: str = ""  # of vectors, see `cpu`
    precisions: tuple[str, ...] = ()  # that came out well
    usual_precision: str = "float32"  # what is taken when nobody says
    arithmetics: tuple[str, ...] = ()  # how each of the precisions is computed
    reason: str = ""  # why anything is missing; empty if nothing is
    is_final: bool = True  # what hindered the trial lies in the processor or the libraries, not in the moment

    def __post_init__(self) -> None:
        for name in ("precisions", "arithmetics"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows lists only


_LOG = logging.getLogger(__name__)


def require(precision: str) -> None:
    """Refuse a precision that does not work here.

    Raises:
        UserError: it does not, and why.
    """
    found = verdict()
    if precision not in found.precisions:
        able = ", ".join((*found.precisions, "streaming"))
        raise UserError(f"backend {precision!r} does not work here: {found.reason}; choose among {able}")


@functools.cache
def verdict() -> Verdict:
    """The verdict on this machine: the remembered one, or that of a trial now, which takes about half a minute.

    A trial that something of the moment hindered (no time, no memory) is not remembered; the next process tries again.
    What makes the work slow here is reported once, as a warning of the logger.
    """
    found = _verdict()
    if surroundings.is_temporary():
        _LOG.warning(
            "slow start: code is compiled anew at each call, since %s cannot be used, or others may write there; set "
            "%s to a folder of your own, or mend this one (chmod 700)",
            surroundings.cache_folder(),
            surroundings.CACHE_VARIABLE,
        )
    if not found.precisions:
        _LOG.warning("slow: torch does the work of the engine, which does not work here: %s", found.reason)
    return found


def _verdict() -> Verdict:
    try:
        key = _key()
    except importlib.metadata.PackageNotFoundError as missing:
        return Verdict(reason=f"the package {missing.name} is not installed (pip install numba)")
    file = surroundings.compiled_folder() / f"engine-{key}.json"
    if (remembered := _read(file)) is not None:
        return remembered
    found = try_out()
    if not found.is_final:
        return found
    with contextlib.suppress(OSError):  # nowhere to remember it: the next process tries again
        atomic.write(file, json.dumps(asdict(found)).encode())
    return found


def try_out() -> Verdict:
    """Try the engine in a process of its own, with narrower vectors if the widest fail."""
    named = os.environ.get(_TIER_VARIABLE)
    tried = []
    for tier in (named,) if named else _TIERS:
        found = _try_tier(tier)
        if found.precisions or not found.is_final:
            return found
        tried.append(found)
    return Verdict(reason=tried[0].reason)


def _try_tier(tier: str) -> Verdict:
    folder = surroundings.compiled_folder()
    # What is compiled in the trial, the generation takes from the same folder.
    environment = {**os.environ, surroundings.CACHE_VARIABLE: str(folder.parent)}
    if tier:
        environment[_TIER_VARIABLE] = tier
    # Not `-m`, which would look for modules in the working folder; and the child works in a folder of ours.
    command = [sys.executable, "-P", "-c", _TRIAL, str(Path(__file__).parents[3])]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
        )
        output, ended = done.stdout, f"ended with code {done.returncode}"
        is_final = done.returncode in _ENDED_BY_PROCESSOR
        complaint = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        ended, complaint, is_final = f"had not ended after {_TIMEOUT_SECONDS} s", [], False
    except OSError as error:
        return Verdict(reason=f"no process could be started to try it ({error.strerror})", is_final=False)
    lines = []
    for line in output.splitlines():
        try:
            lines.append(documents.from_json(line))
        except ValueError:
            continue  # a library has spoken
    good = [line for line in lines if line["error"] <= _TOLERANCES[line["precision"]]]
    bad = [f"{line['precision']} is off by {line['error']:.2g}" for line in lines if line not in good]
    if len(lines) < len(_TOLERANCES):
        again = [] if is_final else ["it will be tried again"]
        bad.append(": ".join(["; ".join([f"the trial {ended}", *again]), *complaint]))
    usual = next((line["usual"] for line in lines), "float32")
    return Verdict(
        tier=lines[0]["tier"] if lines else tier,
        precisions=tuple(line["precision"] for line in good),
        usual_precision=usual if any(line["precision"] == usual for line in good) else "float32",
        arithmetics=tuple(line["arithmetic"] for line in good),
        reason="; ".join(bad),
        is_final=is_final or len(lines) == len(_TOLERANCES),
    )


def _read(file: Path) -> Verdict | None:
    try:
        return Verdict(**documents.from_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # there is none, or it is not one of ours: try again


def _key() -> str:
    """Changes with whatever may change the verdict: processor, libraries and their settings, our own source."""
    versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy", "torch")]
    settings = [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR"
    ]
    machine = [platform.platform(), platform.machine(), platform.processor(), _processor(), sys.version]
    engine = Path(__file__).parent
    compared = [
        engine.parent / "backends" / "calibration.py",
        *(engine.parents[1] / "models" / f"{name}.py" for name in _COMPARED),
    ]
    source = b"".join(file.read_bytes() for file in [*sorted(engine.glob("*.py")), *compared])
    tier = os.environ.get(_TIER_VARIABLE, "")
    return hashlib.sha256("\n".join([*versions, *settings, *machine, tier]).encode() + source).hexdigest()[:16]


def _processor() -> str:
    """Model and features of the processor, where the system tells them in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def main() -> None:
    """Try every precision; print a line of JSON for each as soon as it is known, in case the next ends the process."""
    import torch

    from moksori.generation.backends import calibration
    from moksori.generation.engine import cpu
    from moksori.generation.engine.backend import EngineBackend
    from moksori.generation.engine.encoder import EngineEncoder
    from moksori.models.conditions import Conditioning
    from moksori.models.encoder import Encoder, EncoderConfig
    from moksori.models.wavenet import WaveNet, WaveNetConfig

    torch.set_num_threads(1)
    found = cpu.features()
    tier = cpu.tier(found)
    chance = torch.Generator().manual_seed(0)
    n_streams, hop_samples, n_frames = tier.tile_streams + 3, 50, 6  # a whole tile, a pair, and one alone
    decoder = WaveNet(WaveNetConfig(2, 5, 2, 40, 44), 5)  # at 16 lanes two blocks of channels, four of scores
    encoder = Encoder(EncoderConfig(2, 4, 40, 3, 5, hop_samples))
    with torch.no_grad():
        for weight in (*decoder.parameters(), *encoder.parameters()):
            weight.uniform_(-0.2, 0.2, generator=chance)
    conditioning = Conditioning(torch.randn(n_streams, 5, n_frames, generator=chance), hop_samples)
    codes = torch.randint(0, 256, (n_streams, conditioning.n_samples), generator=chance)
    with torch.no_grad():
        expected, expected_z = decoder(codes, conditioning), encoder(codes[:1])
    peaks = calibration.layer_peaks(decoder, codes, conditioning)
    for precision in _TOLERANCES:
        backend = EngineBackend(decoder, precision, peaks)
        scores, _ = backend.score(backend.start(conditioning), None, codes)
        alone, _ = backend.score(backend.start(Conditioning(conditioning.frames[:1], hop_samples)), None, codes[:1])
        z = EngineEncoder(encoder, precision)(codes[:1])
        scores_off = torch.cat([scores - expected, alone - expected[:1]])
        z_off = (z - expected_z) / expected_z.std()
        errors = [
            off.abs().max() if precision == "float32" else off.square().mean().sqrt() for off in (scores_off, z_off)
        ]
        error = float(torch.stack(errors).max())  # NaN if one of them is, which Python's `max` may overlook
        answer = {
            "precision": precision,
            "error": error if error == error else 1e9,  # NaN is no JSON
            "tier": tier.name,
            "arithmetic": cpu.arithmetic(precision, tier, found),
            "usual": cpu.usual_precision(tier, found),
        }
        print(json.dumps(answer), flush=True)
