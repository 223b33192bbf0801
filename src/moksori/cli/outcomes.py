"""What became of the songs of `moksori convert`: told as it happens, and summed up at the end."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from moksori.cli import console
from moksori.cli.console import SongBars
from moksori.errors import UserError

if TYPE_CHECKING:
    from moksori.conversion import Report, SongFile

_N_NAMED = 3  # songs named in a line


class OutcomePrinter:
    """Results and failures of the songs of one call, in words or as JSON, a line each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._began = time.monotonic()
        self._noted: set[tuple[Path, str]] = set()  # of a song; not said again for its next singer
        self.sung: list[tuple[Path, Path, str, Report]] = []  # song, result, who sings, what is to be said of it
        self.n_failed = 0

    def is_there(self, source: Path, destination: Path) -> None:
        """Tell of a result that an earlier call made."""
        if self._as_json:
            typer.echo(json.dumps({"source": str(source), "result": str(destination), "is_skipped": True}))
        else:
            console.say(f"{destination}: is there already")

    def failed(self, source: Path, error: UserError, bars: SongBars | None = None) -> None:
        """Tell why a song has no result."""
        self.n_failed += 1
        if self._as_json:
            typer.echo(json.dumps({"source": str(source), "error": str(error)}))
        else:
            (bars.say if bars else console.say)(f"failed: {error}")

    def done(self, song: SongFile, singer: str, report: Report, bars: SongBars) -> None:
        """Tell of a result, and what is to be known of it."""
        self.sung.append((song.source, song.destination, singer, report))
        if self._as_json:
            plain = dataclasses.asdict(report)
            bars.result(json.dumps({"source": str(song.source), "result": str(song.destination), **plain}))
            return
        bars.result(f"{song.source} -> {song.destination} ({console.duration_text(_seconds(report))} of sound)")
        for note in report.remarks:
            if (song.source, note) not in self._noted:
                self._noted.add((song.source, note))
                bars.say(f"  note: {note}")
        for measured, seconds in report.measured.items():
            bars.say(f"  note: {measured} was measured from {seconds:.0f} s of takes, and not trained")
        if report.note:
            bars.say(f"  note: {report.note}")
        if report.transpose_semitones:
            bars.say(f"  note: sung {console.semitones_text(report.transpose_semitones)} than the song")
        if report.outside:
            bars.say(f"  note: {console.outside_text(report.outside)}")
        if report.n_clipped:
            bars.say(f"  note: {report.n_clipped} samples were too loud for the format and were clipped")

    def sum_up(self) -> None:
        """Tell how long it took, and of songs that were moved differently."""
        if self.sung and not self._as_json:
            seconds = sum(_seconds(report) for *_, report in self.sung)
            what = f"{len(self.sung)} results, " if len(self.sung) > 1 else ""
            spent = console.duration_text(time.monotonic() - self._began)
            console.say(f"{what}{console.duration_text(seconds)} of sound in {spent}")
        if len(self.sung) > 1 and (ways := self._different_ways()):
            console.say(ways)

    def _different_ways(self) -> str:
        """A word on songs that were moved differently, which parts of one song must not be; "" if none were."""
        for singer in dict.fromkeys(singer for _, _, singer, _ in self.sung):
            moved: dict[float, list[str]] = {}
            for source, _, who, report in self.sung:
                if who == singer and report.has_pitch:
                    moved.setdefault(report.transpose_semitones, []).append(source.name)
            if len(moved) > 1:
                shifts = "; ".join(f"{_named(moved[by])} by {by:+g} semitones" for by in sorted(moved))
                return (
                    f"note: {singer} sings these songs moved differently: {shifts}. If they are parts of one song, add "
                    f"--together, or give --transpose {max(moved, key=lambda by: len(moved[by])):g}"
                )
        return ""


def _seconds(report: Report) -> float:
    return report.n_samples / report.sample_rate


def _named(names: list[str]) -> str:
    more = len(names) - _N_NAMED
    return ", ".join(names[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")
