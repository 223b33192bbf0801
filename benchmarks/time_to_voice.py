"""How soon is there a voice of one singer? Minutes of takes and of training against likeness, words and melody.

    python benchmarks/time_to_voice.py SINGERS OUT --songs SONGS --new NAME [NAME ...] [--seconds 30 120 300 600]

SINGERS has a folder of recordings for each singer: of those who are new, excerpts of so many seconds are given to three
ways to a voice; all of them are known to the judges. Arms:

    like          `moksori convert --like`: measured, nothing is trained; of so many seconds as --like says
    enrolled      `moksori enroll base`: a vector alone
    from base     `moksori train --from base --for 5m`
    from nothing  `moksori train -r swift --for 5m` of that singer beside one of the others, of whom all is given

On a machine that has other work to do, minutes say little: `--steps 440` ends each training there instead.

OUT/time_to_voice.md gathers the table, with intervals by song and singer, and below it the controls: the sources moved
in pitch only, and sung by the nearest frames of the singers' recordings. OUT/report is the evaluation that it is of.
What is there already is kept, so the command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import moksori
from moksori import atomic, checkpoint
from moksori.audio import files
from moksori.conversion import ConvertOptions
from moksori.evaluation.measures import bootstrap

COLUMNS = {
    "identified": "heard as target, own judge",
    "identified_public": "Resemblyzer",
    "leak_public": "leak, Resemblyzer",
    "character_error_rate": "words, CER",
    "content_kept": "content kept",
    "raw_pitch_accuracy": "pitch",
    "distill_mos": "DistillMOS",
}


def main() -> None:
    """Make the voices, let them sing, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("singers", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs by strangers")
    parser.add_argument("--new", nargs="+", required=True, metavar="NAME", help="singers that the base never heard")
    parser.add_argument("--seconds", type=float, nargs="*", default=[30, 120, 300, 600], help="of takes")
    parser.add_argument("--like", type=float, nargs="*", default=[30], help="seconds of takes, measured only")
    parser.add_argument("--for", dest="how_long", default="5m", help="time of each training")
    parser.add_argument("--steps", type=int, help="end each training after so many, and not after a time")
    parser.add_argument("--nothing", type=float, nargs="*", default=[300], help="seconds of takes, from nothing")
    parser.add_argument("--base", default="base", help="voice to begin from")
    parser.add_argument("--language", help="of the songs")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    made: dict[str, dict[str, Any]] = {}
    for singer in given.new:
        for seconds in given.like:
            takes = excerpt(given.singers / singer, given.out / "takes" / f"{singer}-{seconds:g}" / singer, seconds)
            made |= like(given, singer, seconds, takes)
        for seconds in given.seconds:
            takes = excerpt(given.singers / singer, given.out / "takes" / f"{singer}-{seconds:g}" / singer, seconds)
            made |= enrolled(given, singer, seconds, takes) | trained(given, singer, seconds, takes)
        for seconds in given.nothing:
            takes = excerpt(given.singers / singer, given.out / "takes" / f"{singer}-{seconds:g}" / singer, seconds)
            made |= trained_from_nothing(given, singer, seconds, takes)
    conversions = given.out / "conversions"
    sing(made, given.songs, conversions)
    data, report = given.out / "data", given.out / "report"
    if not data.exists():
        moksori_command("prepare", given.singers, "-o", data)
    language = ["--language", given.language] if given.language else []
    moksori_command("evaluate", data, "--conversions", conversions, "-o", report, *language)
    with open(conversions / "conversions.csv", newline="", encoding="utf-8") as file:
        sung_by = [Path(row["conversion"]).name.partition(".")[0] for row in csv.DictReader(file)]
    text = table(made, sung_by, json.loads((report / "report.json").read_text(encoding="utf-8")))
    atomic.write(given.out / "time_to_voice.md", text.encode())
    print(text)


def excerpt(recordings: Path, folder: Path, seconds: float) -> Path:
    """A folder of links to recordings of so many seconds: from all over them, so that every pitch takes part."""
    if not folder.exists():
        found = sorted(path for path in recordings.iterdir() if path.suffix in (".flac", ".wav"))
        order, total = np.random.default_rng(0).permutation(len(found)), 0.0
        folder.mkdir(parents=True)
        for index in order:
            if total >= seconds:
                break
            (folder / found[index].name).symlink_to(found[index].resolve())
            total += files.probe(found[index]).seconds
    return folder


def like(given: argparse.Namespace, singer: str, seconds: float, takes: Path) -> dict[str, dict[str, Any]]:
    """Measure the singer, and keep the base with them: what `convert --like` sings with, or `Voice.like`."""
    model, began = given.out / f"{singer}-{seconds:g}-like.safetensors", time.monotonic()
    if not model.exists():
        voice = moksori.load(None if given.base == "base" else given.base).like(takes, name=singer)
        checkpoint.write_model(model, voice.model, voice.provenance)
        atomic.write(model.with_name(model.name + ".seconds"), f"{time.monotonic() - began:.0f}\n".encode())
    spent = float(model.with_name(model.name + ".seconds").read_text(encoding="utf-8"))
    return {model.stem: {"arm": "like", "singer": singer, "takes": seconds, "spent": spent, "model": model}}


def enrolled(given: argparse.Namespace, singer: str, seconds: float, takes: Path) -> dict[str, dict[str, Any]]:
    """Add the singer to the base."""
    model = given.out / f"{singer}-{seconds:g}-enrolled.safetensors"
    spent = timed(model, "enroll", given.base, takes, "--name", singer, "-o", model)
    return {model.stem: {"arm": "enrolled", "singer": singer, "takes": seconds, "spent": spent, "model": model}}


def trained(given: argparse.Namespace, singer: str, seconds: float, takes: Path) -> dict[str, dict[str, Any]]:
    """Train from the base."""
    run = given.out / f"{singer}-{seconds:g}-trained"
    spent = timed(run, "train", takes, "-o", run, "--name", singer, "--from", given.base, *until(given))
    return {run.name: {"arm": "from base", "singer": singer, "takes": seconds, "spent": spent, "model": run}}


def trained_from_nothing(
    given: argparse.Namespace, singer: str, seconds: float, takes: Path
) -> dict[str, dict[str, Any]]:
    """Train recipe `swift` from nothing, beside another singer."""
    run, folder = given.out / f"{singer}-{seconds:g}-nothing", given.out / "takes" / f"{singer}-{seconds:g}-pair"
    other = next(path for path in sorted(given.singers.iterdir()) if path.is_dir() and path.name not in given.new)
    for name, recordings in ((singer, takes), (other.name, other)):
        shutil.copytree(recordings, folder / name, symlinks=True, dirs_exist_ok=True)
    spent = timed(run, "train", folder, "-o", run, "-r", "swift", "--from", "none", *until(given))
    return {run.name: {"arm": "from nothing", "singer": singer, "takes": seconds, "spent": spent, "model": run}}


def until(given: argparse.Namespace) -> list[str]:
    """The options of `moksori train` that say when it ends."""
    return ["--for", given.how_long] if given.steps is None else ["--max-steps", str(given.steps)]


def timed(made: Path, *command: str | Path) -> float:
    """Run a command unless what it makes is there; the seconds that it took, kept beside that."""
    record = made.with_name(made.name + ".seconds")
    if not record.exists():
        began = time.monotonic()
        moksori_command(*command)
        atomic.write(record, f"{time.monotonic() - began:.0f}\n".encode())
    return float(record.read_text(encoding="utf-8"))


def moksori_command(*arguments: str | Path) -> None:
    """Run the product as its users do."""
    print("moksori", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "moksori", *map(str, arguments)], check=True)


def sing(made: dict[str, dict[str, Any]], songs: Path, folder: Path) -> None:
    """Convert every song by every voice into its new singer, and write the table of them."""
    folder.mkdir(exist_ok=True)
    rows = []
    for name, arm in made.items():
        voice = moksori.load(arm["model"])
        for song in sorted(path for path in songs.iterdir() if path.suffix in (".flac", ".wav")):
            result = folder / f"{name}.{song.stem}.flac"
            semitones = voice.transposition(files.read(song), arm["singer"], ConvertOptions(transpose="nearest"))
            if not result.exists():
                options = ConvertOptions(transpose=semitones)
                voice.convert_file(song, result, singer=arm["singer"], options=options)
            rows.append([result.name, str(song.resolve()), arm["singer"], f"{semitones:g}"])
    with open(folder / "conversions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["conversion", "source", "target", "transpose"], *rows])


def table(made: dict[str, dict[str, Any]], sung_by: Sequence[str], report: dict[str, Any]) -> str:
    """The figures by arm and seconds of takes, each the mean over singers and songs, both drawn for its interval.

    Args:
        made: arms by name.
        sung_by: the arm of each conversion in the order of their table, by which the report numbers them from 1.
        report: of `moksori evaluate --conversions`.
    """
    scores: dict[tuple[str, float], list[tuple[str, str, dict[str, float]]]] = defaultdict(list)
    for item in report["items"]:
        if item["row"] != "conversion":
            continue
        arm = made[sung_by[int(item["name"].partition("-")[0]) - 1]]
        scores[arm["arm"], arm["takes"]].append((arm["singer"], item["recording"], item["scores"]))
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; {_processor()}",
        "",
        "| way | takes | made in | " + " | ".join(COLUMNS.values()) + " |",
        "| --- " * (3 + len(COLUMNS)) + "|",
    ]
    for (way, seconds), items in sorted(scores.items()):
        spent = [arm["spent"] for arm in made.values() if (arm["arm"], arm["takes"]) == (way, seconds)]
        cells = [way, f"{seconds:g} s", f"{np.mean(spent) / 60:.1f} min"]
        for column in COLUMNS:
            found = [(singer, song, row[column]) for singer, song, row in items if row.get(column) is not None]
            cells.append(_figure(found))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_controls(report), ""])


def _controls(report: dict[str, Any]) -> list[str]:
    """Rows of the table for what makes it readable: no voice of ours sings there."""
    lines = []
    for row, name in (("frames", "*frames*, of 300 s"), ("source moved in pitch only", "*source moved in pitch only*")):
        items = [item for item in report["items"] if item["row"] == row]
        scores = {
            column: [
                (i["target_singer"], i["recording"], i["scores"][column])
                for i in items
                if i["scores"].get(column) is not None
            ]
            for column in COLUMNS
        }
        if items:
            lines.append("| " + " | ".join([name, "", "", *map(_figure, scores.values())]) + " |")
    return lines


def _figure(found: Sequence[tuple[str, str, float]]) -> str:
    if not found:
        return ""
    singers, songs, values = zip(*found, strict=True)
    figure = bootstrap.crossed(values, singers, songs, seed=0)
    return f"{figure.mean:.2f} ({figure.low:.2f}-{figure.high:.2f})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
