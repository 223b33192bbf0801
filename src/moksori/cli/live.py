"""`moksori live`: sing into a microphone, hear another voice."""

from __future__ import annotations

import collections
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli import console, names
from moksori.errors import UserError

if TYPE_CHECKING:
    from moksori.audio.clip import Samples
    from moksori.conversion import live


def command(
    singer: Annotated[str | None, typer.Option("-s", "--singer", help="Who shall sing.")] = None,
    model: console.VoiceOption = None,
    transpose: Annotated[
        float,
        typer.Option("-t", "--transpose", min=-36, max=36, help="Semitones; nobody can know where you will sing."),
    ] = 0.0,
    detail: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="How much of your own sound goes along, 0 to 1.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A sound file in the place of the microphone.")] = None,
    destination: Annotated[Path | None, typer.Option("--to", help="With --from: where the result goes.")] = None,
    microphone: Annotated[str | None, typer.Option("--input", help="Device, by number or part of its name.")] = None,
    speaker: Annotated[str | None, typer.Option("--output", help="Device, by number or part of its name.")] = None,
    devices: Annotated[bool, typer.Option("--devices", help="List the devices there are.")] = False,
    record: Annotated[Path | None, typer.Option(help="Also keep what is sung, as a sound file.")] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Sing live: what comes in is sung by another voice 120 ms later, and what your sound card adds.

    Use headphones, or the microphone hears the result. Ctrl-C ends it, and says how many blocks were lost or late.
    """
    if (source is None) != (destination is None):
        raise UserError("--from and --to belong together: a file in the place of the microphone, and where it goes")
    if record is not None and source is not None:
        raise UserError("--record keeps what is sung into a microphone; with --from, --to does")
    for place in (destination, record):
        if place is not None:
            console.refuse_to_overwrite(place, force, [source] if source else [])
    if not devices:
        known = names.singers_of(model)
        if singer is None:
            raise UserError(f"say who shall sing: -s SINGER; there is {', '.join(known or ()) or 'nobody known'}")
        names.check([singer], known)

    from moksori.conversion import live

    card = None if source is not None else live.SoundCard(microphone, speaker)
    if devices:
        typer.echo((card or live.SoundCard()).names())
        return
    import torch

    import moksori

    torch.set_num_threads(1)
    assert singer is not None
    going = live.Live(moksori.load(model), singer, transpose, detail)
    going.warm_up()
    console.say(
        f"{going.song.latency_seconds * 1000:.0f} ms from a sound to its answer, beside the sound card's own time"
    )
    if source is not None and destination is not None:
        console.make_folder(destination.parent)
        live.convert_file(going, source, destination)
        typer.echo(f"{source} -> {destination}")
    else:
        assert card is not None
        _sing(going, card, record)
    meter = going.meter
    counted = "" if source is not None else f"{meter.n_lost} after a loss of the device, {meter.n_late} late; "
    console.say(
        f"{meter.n_blocks} blocks: {counted}real-time factor {meter.load(0.5):.2f}, at p99 {meter.load(0.99):.2f}"
    )


def _sing(going: live.Live, card: live.Device, record: Path | None) -> None:
    """Sing until Ctrl-C, show levels, and keep what is sung if it is wanted."""
    from rich.live import Live as Shown
    from rich.text import Text

    from moksori.audio import files
    from moksori.conversion import live

    rate = card.rate_for(going.sample_rate)
    fitted = live.AtRate(going, rate)
    if fitted.extra_seconds:
        console.say(f"the sound card works at {rate} Hz: {1000 * fitted.extra_seconds:.1f} ms more")
    sung: collections.deque[Samples] = collections.deque()  # not written yet: a device must not wait for a disk

    def process(block: Samples, is_after_loss: bool) -> Samples:
        found = fitted.process(block, is_after_loss)
        if record is not None:
            sung.append(found)
        return found

    if record is not None:
        console.make_folder(record.parent)
    kept = contextlib.nullcontext() if record is None else files.Writer(record, rate, 1)
    with kept as writer, Shown(console=console.stderr(), refresh_per_second=10) as shown:

        def write() -> None:
            while writer is not None and sung:
                writer.write(sung.popleft()[:, None])

        def until() -> bool:
            write()
            meter = going.meter
            levels = f"in {meter.in_dbfs:6.1f} dBFS  out {meter.out_dbfs:6.1f} dBFS"
            shown.update(Text(f"{levels}  lost {meter.n_lost}  late {meter.n_late}"))
            return False

        with contextlib.suppress(KeyboardInterrupt):
            card.run(process, rate, fitted.block_samples, until)
        write()
