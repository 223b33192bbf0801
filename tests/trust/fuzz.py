"""Coverage-guided fuzzing for a while: bytes that reach what none before them reached, for readers and the engine.

    python tests/trust/fuzz.py --seconds 60                 60 s for each target
    python tests/trust/fuzz.py --seconds 600 model engine   for some of them

Needs atheris (`pip install atheris`; Linux), which instruments our modules and those of Python that read for us. Found
is what a reader neither reads nor refuses in words: a traceback, a crash, 20 s, or more memory than
`fuzzing.MEGABYTES`. Its bytes go to tests/trust/kept, where `test_fuzz.py` gives them to the reader from then on; the
exit code is then 1. What reached something new stays in build/fuzz, and the next call goes on from there; --keep N puts
as many of them into tests/trust/kept, too.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "kept"
_INSTRUMENTED = ["moksori", "mido", "json", "tomllib", "csv", "zipfile", "forging"]
_ENGINE = ROOT / "src" / "moksori" / "generation" / "engine"
# By name, each: numba cannot read what atheris writes into a function.
_COMPILED = [f"moksori.generation.engine.{path.stem}" for path in sorted(_ENGINE.glob("*.py"))]
_LONGEST_KEPT = 4000  # bytes
_SECONDS_EACH = 20


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="kinds of fuzzing.KINDS, or engine")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        run(asked.targets[0], asked.seconds)
        return
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    import fuzzing

    known = [*fuzzing.KINDS, "engine"]
    unknown = [name for name in asked.targets if name not in known]
    if unknown:
        parser.error(f"unknown target {', '.join(unknown)}; known are {', '.join(known)}")
    n_found = 0
    for target in asked.targets or known:
        found = watch(target, asked.seconds)
        n_found += len(found)
        if asked.keep:
            keep(target, asked.keep)
    sys.exit(1 if n_found else 0)


def watch(target: str, seconds: int) -> list[Path]:
    """Fuzz one target in a process of its own; what was found."""
    artifacts, log = corpus(target).parent / f"{target}-found", corpus(target).parent / f"{target}.log"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir(parents=True)
    command = [sys.executable, __file__, "--alone", "--seconds", str(seconds), target]
    with open(log, "wb") as file:  # a program that dies by a signal still leaves what it said
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    executed = re.search(r"number_of_executed_units:\s*(\d+)", text)
    reached = re.findall(r"cov: (\d+)", text)
    found = sorted(artifacts.iterdir())
    print(
        f"{target}: {executed[1] if executed else '?'} inputs, {reached[-1] if reached else '?'} places reached, "
        f"{len(list(corpus(target).iterdir()))} kept as new, {len(found)} found",
        flush=True,
    )
    if code and not found:
        raise SystemExit(f"{target}: could not be fuzzed (code {code}), see {log}")
    for path in found:
        kept = KEPT / f"{target}-{path.name.replace('_', '-')[:24]}"
        KEPT.mkdir(exist_ok=True)
        shutil.copy(path, kept)
        print(f"  found: {kept.relative_to(ROOT)}; the traceback stands in {log.relative_to(ROOT)}")
    return found


def run(target: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(Path(__file__).parent)]
    with atheris.instrument_imports(include=_INSTRUMENTED, exclude=_COMPILED):
        import fuzzing

    name, honest, read = fuzzing.ENGINE if target == "engine" else fuzzing.KINDS[target]
    folder = corpus(target).parent / f"{target}-tried"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fuzzing.limit_memory(folder, [] if target == "engine" else [target])
    seeds, artifacts = corpus(target), corpus(target).parent / f"{target}-found"
    seeds.mkdir(parents=True, exist_ok=True)
    (seeds / "honest").write_bytes(honest())
    for path in KEPT.glob(f"{target}-*"):
        shutil.copy(path, seeds)

    def once(content: bytes) -> None:
        (folder / name).write_bytes(content)
        try:
            with contextlib.suppress(fuzzing.UserError):
                read(folder / name)
        except BaseException:  # libFuzzer would have no memory left to tell of it
            fuzzing.forget_limit()
            traceback.print_exc()
            (artifacts / f"raised-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)
            sys.stderr.flush()
            os._exit(1)

    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_SECONDS_EACH}",
        "-rss_limit_mb=0",  # the system's own limit is set already
        "-print_final_stats=1",
        f"-artifact_prefix={artifacts}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(seeds)], once)
    atheris.Fuzz()


def corpus(target: str) -> Path:
    """Where inputs stay that reached something new."""
    return ROOT / "build" / "fuzz" / target


def keep(target: str, n: int) -> None:
    """Put the last small inputs that reached something new into the tests' folder."""
    new = [path for path in corpus(target).iterdir() if path.name != "honest" and "-" not in path.name]
    small = sorted((p for p in new if p.stat().st_size <= _LONGEST_KEPT), key=lambda p: p.stat().st_mtime)
    KEPT.mkdir(exist_ok=True)
    for path in small[-n:]:
        shutil.copy(path, KEPT / f"{target}-{path.name[:12]}")


if __name__ == "__main__":
    main()
