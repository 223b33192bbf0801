"""`moksori convert`: songs in, the same songs in another voice out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori import language, presets
from moksori.cli import catalogue, console, jobs, melodies, names
from moksori.cli.outcomes import OutcomePrinter
from moksori.errors import AudioFileError, UserError
from moksori.language import Words
from moksori.workers import places
from moksori.workers.places import Place

if TYPE_CHECKING:
    from moksori.conversion import Report, Voice
    from moksori.conversion.analysis import Alike
    from moksori.conversion.preview import Loudest

SOME_FAILED = 7


def command(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(metavar="SONGS...", help="Songs, or folders of songs; or URLs, see --ray.")
    ],
    model: console.VoiceOption = None,
    singers: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--singer", "--speaker", help="Who shall sing; several (-s a,b), to have the song from each."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="TAKES",
            help="Sing like whoever sings in this folder or file, half a minute or more: measured, nothing is trained.",
        ),
    ] = None,
    mix: Annotated[str | None, typer.Option(help="A voice between singers, such as a=0.7,b=0.3.")] = None,
    results: Annotated[
        str | None, typer.Option("-o", "--output", help="File for one song, folder for several; default: beside them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    transpose: Annotated[
        str,
        typer.Option(
            "-t",
            "--transpose",
            help="auto: whole octaves, to where the singer sings; nearest: semitones, the key changes; or semitones.",
        ),
    ] = "auto",
    repair_octaves: Annotated[
        bool, typer.Option("--repair-octaves", help="High voices: bring up what was heard an octave too low.")
    ] = False,
    keep_breaths: Annotated[bool, typer.Option("--keep-breaths", help="Keep the breaths of the song itself.")] = False,
    loudness: Annotated[
        str, typer.Option(help="follow: as loud as the song; normalise: sung at -23 dBFS, however loud the song is.")
    ] = "follow",
    detail: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="How much of the song's own sound goes along: 1 keeps words best, 0 sounds most like the singer.",
        ),
    ] = None,
    is_one_song: Annotated[
        bool, typer.Option("--together", help="The files are parts of one song: all are moved by the same interval.")
    ] = False,
    temperature: Annotated[float, typer.Option(min=0.0, help="1 samples, less is tamer, 0 takes the likeliest.")] = 1.0,
    one_stream: Annotated[bool, typer.Option(help="Generate in a single chain: no seams, much slower.")] = False,
    backend: Annotated[
        str,
        typer.Option(
            help="What computes voices that sample codes: float32, bfloat16, int8 (fastest), streaming; on a GPU also "
            "graph, fused, fused16; auto."
        ),
    ] = "auto",
    device: console.Device = "auto",
    page: Annotated[
        Path | None, typer.Option(help="Also write a page to listen to, with the songs and what became of them.")
    ] = None,
    melody: Annotated[
        Path | None,
        typer.Option(
            help="Sing this melody in the place of the one that is heard: a file of --melody-out, edited; or MIDI: the "
            "song is brought onto its notes."
        ),
    ] = None,
    melody_out: Annotated[
        Path | None,
        typer.Option(
            help="Also write the melody that is heard, as song.f0.csv: a file for one song (or .json), else a folder."
        ),
    ] = None,
    preview: Annotated[
        float | None,
        typer.Option(min=1.0, max=600.0, help="Convert only so many seconds, the loudest: song.NAME.preview.wav."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Wishes that the voice keeps under a name; what is said beside it wins.")
    ] = None,
    save_preset: Annotated[
        str | None, typer.Option(help="Keep what is said here under a name, beside the model: see moksori info.")
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Songs with backing: take the voice out, convert it, put it back.")
    ] = False,
    remix_gain: Annotated[
        float, typer.Option(min=-24.0, max=24.0, help="With --separate: dB over the level that the voice had.")
    ] = 0.0,
    stems: Annotated[
        Path | None, typer.Option(help="With --separate: folder for the voice, the backing and what is sung.")
    ] = None,
    separator: Annotated[
        str, typer.Option(help="With --separate: spleeter (see moksori separator), or audio-separator, a program.")
    ] = "spleeter",
    lang: console.Language = None,
    is_marked: Annotated[
        bool, typer.Option("--mark", help="Put an inaudible mark into the sound, which moksori verify finds.")
    ] = False,
    mark_key: Annotated[
        str, typer.Option("--mark-key", help="The same under a key of your own; keep it secret.", show_default=False)
    ] = "",
    force: console.Force = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out songs whose result is there already.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="A catalogue, by Ray: auto (the cluster that runs), local, or a cluster's address; off: without Ray, "
            "on this machine's cores. What is there already is not made again.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Of a catalogue: how many songs at a time; 0 for one each core, or each GPU.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a song.")] = False,
) -> None:
    """Convert songs of any length and format; rate, channels, length and format stay as they are.

    A melody file has lines of time in seconds, pitch in Hz and voicing (1 or 0), before any transposition: write it
    with --melody-out, change it in any editor, and sing it with --melody. Notes of a MIDI file say how high; vibrato,
    glides and consonants stay as they are sung.

    Interrupted, the same command with --skip-existing goes on where it stopped.

    Several songs are converted side by side, the shorter ones first, and each is written as soon as it is done; Ctrl-C
    leaves those that are. A song that fails is named with its reason, and the rest goes on; the exit code is then 7 (or
    the failure's own, if there was only one song).

    A catalogue of any size: with --ray, or where songs or output are URLs such as s3://bucket/songs, as many workers
    as there are convert it, and the same command goes on where it stopped.
    """
    given = locals()
    if preset is not None:
        return command(**_with_preset(given))
    songs, output = [Path(source) for source in sources], Path(results) if results else None
    is_catalogue = ray is not None or any(map(places.is_url, [*sources, results or ""]))
    if is_catalogue:
        catalogue.refuse(
            {
                "--page": page,
                "--preview": preview,
                "--separate": separate or None,
                "--save-preset": save_preset,
                "--like": like,
                "--melody": melody,
                "--melody-out": melody_out,
                "--together": is_one_song or None,
            }
        )
    elif workers:
        raise UserError("--workers is for a catalogue; add --ray local, or --ray off to do without Ray")
    if separate and is_one_song:
        raise UserError(
            "--together hears the pitch of voices alone; with --separate, say how far all are moved: "
            "--transpose SEMITONES"
        )
    if not separate and (remix_gain or stems is not None or separator != "spleeter"):
        raise UserError("--remix-gain, --stems and --separator say how a mix is taken apart; add --separate")
    known = names.singers_of(model)
    if like is not None:
        _check_like(like, singers, mix, save_preset)
    voices = _voices(names.split(singers, known), mix) if like is None else []
    names.check([name for shares in voices for name in shares], known)
    _check_words(transpose, loudness)
    say = Words(language.choose(lang))
    if len(songs) == 1 and not is_catalogue:
        try:
            os.lstat(songs[0])
        except FileNotFoundError:
            raise AudioFileError(f"{songs[0]}: no such file; check the spelling and the folder") from None
        except OSError:
            pass  # the reader says what is wrong

    import torch  # slow to load, so what can be refused has been

    import moksori
    from moksori import checkpoint
    from moksori.audio.mark import PUBLIC_KEY
    from moksori.conversion import ConvertOptions, SongFile, instant
    from moksori.conversion.mix import Mixing
    from moksori.conversion.mix import convert_files as mix_files
    from moksori.generation import generator
    from moksori.generation.songs.chunks import UNCUT, ChunkConfig

    mixing = Mixing(separator, remix_gain, stems, preview) if separate else None
    if mixing is not None:
        mixing.check()  # a separator that is not there is refused before any work
    is_elsewhere = is_catalogue and ray not in (None, catalogue.OFF)  # what computes is not this process
    chosen_device = device if is_elsewhere and device != "auto" else checkpoint.check_device(device)
    voice = moksori.load(model, "cpu" if is_elsewhere else chosen_device)
    if like is not None:
        voices = [{instant.name_of(like): 1.0}]  # who is measured as soon as there is something to sing
    else:
        for shares in voices:
            voice.vector(shares)  # an unknown singer is refused before any work
    # and so is a backend that does not work here
    if voice.backend_name(backend) not in generator.ENGINE:
        # The steps of one sample are too small to share: one thread is fastest, and leaves the other cores free.
        torch.set_num_threads(1)
    options = ConvertOptions(
        seed,
        console.transposition(transpose),
        keep_breaths,
        loudness,
        detail,
        temperature,
        backend,
        chunks=UNCUT if one_stream else ChunkConfig(),
        mark=(mark_key or PUBLIC_KEY) if is_marked or mark_key else "",
        repair_octaves=repair_octaves,
    )
    if is_catalogue:
        request = catalogue.Request(results, ray or catalogue.OFF, workers, force, as_json)
        by_label = {jobs.label(shares): shares for shares in voices}
        catalogue.convert(
            [Place.of(source) for source in sources], voice, model, by_label, options, request, chosen_device
        )
        return
    planned = jobs.planned(songs, output, voices, is_preview=preview is not None)
    outcomes, n_there = OutcomePrinter(as_json), 0
    in_the_way = jobs.clashes(planned, force, skips=skip_existing, is_preview=preview is not None)
    replaced = {job.destination for job in planned if force or os.path.lexists(job.destination)}
    parts_of_song = list(dict.fromkeys(job.source for job in planned))  # what an earlier call made of them is part, too
    if skip_existing:
        done = [number for number, clash in in_the_way.items() if clash.is_there]
        n_there = len(done)
        for number in done:
            outcomes.is_there(planned[number].source, planned[number].destination)
        planned, in_the_way = jobs.without(planned, in_the_way, done)
    clashes: dict[int, UserError] = dict(in_the_way)
    if stems is not None:
        clashes |= _stem_clashes(stems, [job.destination for job in planned], force)
    sources_and_results = [path for job in planned for path in (job.source, job.destination)]
    if page is not None:
        console.refuse_to_overwrite(page, force, [*sources_and_results, *filter(None, (model, melody, melody_out))])
    to_sing = [job.source for job in planned]
    track = melodies.given(melody, melody_out, to_sing)
    if melody_out is not None:
        places_of, refused = melodies.places_of(melody_out, to_sing, sources_and_results, force, is_left=skip_existing)
        clashes |= {n: refused[job.source] for n, job in enumerate(planned) if job.source in refused}
    if len(planned) == 1 and clashes:
        raise clashes[0]
    if like is not None and len(clashes) < len(planned):
        voice = _like(voice, like, say)
    if melody_out is not None:
        if mixing is None:
            melodies.write_tracked(places_of, voice, options)
        else:
            mixing = replace(mixing, melodies=places_of)
    if save_preset is not None:
        _keep_preset(save_preset, model, given, force)
    if len(planned) > 1 and not as_json:
        console.say(jobs.what_goes_where(planned))
    alike: dict[str, Alike] = {}
    if is_one_song and voice.is_pitch_conditioned and planned:
        found_alike = voice.together(parts_of_song, voices, options)
        alike = {jobs.label(shares): found for shares, found in zip(voices, found_alike, strict=True)}
    ready: list[SongFile] = []
    labels: list[str] = []
    loudest: dict[Path, Loudest] = {}
    for number, job in enumerate(planned):
        try:
            if number in clashes:
                raise clashes[number]
            console.make_folder(job.destination.parent)
            song = SongFile(*job, melody=track, is_new=job.destination not in replaced)
            if own := alike.get(jobs.label(job.shares)):
                gain_db = own.gain_db if loudness == "normalise" else None
                song = replace(song, transpose=own.transpose_semitones, gain_db=gain_db)
            if preview is not None and not separate:  # of a mix, the voice that is taken out tells where and how high
                if job.source not in loudest:
                    loudest[job.source] = voice.loudest(job.source, preview, options)
                song = voice.part_of(song, loudest[job.source], options)
            ready.append(song)
            labels.append(jobs.label(job.shares))
        except UserError as error:
            if len(planned) == 1:
                raise
            outcomes.failed(job.source, error)
    with console.side_by_side([song.source.name for song in ready]) as bars:
        if mixing is None:
            found = voice.convert_files(ready, options=options, progress=bars)
        else:
            found = mix_files(voice, ready, options, mixing, bars)
        for number, outcome in found:
            song = ready[number]
            if not isinstance(outcome, UserError):
                outcomes.done(song, labels[number], outcome, bars)
            elif len(planned) == 1:
                raise outcome
            else:
                outcomes.failed(song.source, outcome, bars)
    outcomes.sum_up()
    if page is not None and outcomes.sung:
        _write_page(page, outcomes.sung, say)
    if page is not None and n_there:
        n_sung = len(outcomes.sung)
        what = f"of the {n_sung} that were sung now" if n_sung else "not written, since nothing was sung now"
        console.say(f"{page}: {what}; {n_there} results were there already")
    if outcomes.n_failed:
        n_done = len(planned) - outcomes.n_failed
        console.say(f"{n_done} of {len(planned)} songs converted; {outcomes.n_failed} failed, named above")
        raise typer.Exit(SOME_FAILED)


def _with_preset(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, where those that nobody typed are as the preset has them."""
    context: typer.Context = given["context"]
    kept = presets.named(given["preset"], given["model"]).options
    sources = {name: context.get_parameter_source(name) for name in given}
    typed = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if "singer" in kept:
        kept["singers"] = [kept.pop("singer")]
    if typed & {"singers", "mix", "like"}:  # who sings is said in one of three ways
        kept = {name: value for name, value in kept.items() if name not in ("singers", "mix")}
    return {**given, **{name: value for name, value in kept.items() if name not in typed}, "preset": None}


def _keep_preset(name: str, model: Path | None, given: dict[str, Any], force: bool) -> None:
    """Write what is asked in this call, and is not as it always is, beside the model."""
    import inspect

    usual = {word: parameter.default for word, parameter in inspect.signature(command).parameters.items()}
    chosen = {word: given[word] for word in presets.OPTIONS if word in given and given[word] != usual[word]}
    if given["singers"]:
        chosen["singer"] = ",".join(given["singers"])
    place = presets.keep(name, presets.Preset(**chosen), model, is_replaced=force)
    console.say(f"preset {name}: {place}")


def _check_like(takes: Path, singers: list[str] | None, mix: str | None, save_preset: str | None) -> None:
    """Refuse what does not go with a voice that is measured in this call."""
    if singers or mix is not None:
        raise UserError("--like says who shall sing; leave -s and --mix out")
    if save_preset is not None:
        raise UserError("a preset keeps no takes; leave --save-preset out, or add the singer with moksori enroll first")
    if not os.path.exists(takes):
        raise UserError(
            f"{takes}: no such folder or file; expected the recordings of one singer, half a minute or more"
        )


def _like(voice: Voice, takes: Path, say: Words) -> Voice:
    """The voice with the singer of some takes; what is wrong with the takes is said."""
    from moksori.conversion import instant

    with console.counted("measuring") as progress:
        found = instant.measure(takes, voice.model, voice.provenance.level_dbfs, say=say, progress=progress)
    for remark in found.remarks:
        console.say(f"note: {takes}: {remark}")
    return voice.with_singer(found)


def _stem_clashes(folder: Path, destinations: list[Path], force: bool) -> dict[int, UserError]:
    """Of which results, by number, a stem would take the place of what is there."""
    from moksori.conversion import mix

    console.make_folder(folder)
    found: dict[int, UserError] = {}
    for number, destination in enumerate(destinations):
        try:
            for name in mix.STEMS:
                console.refuse_to_overwrite(mix.stem_file(folder, destination, name), force, destinations)
        except UserError as error:
            found[number] = error
    return found


def _check_words(transpose: str, loudness: str) -> None:
    """Refuse what no option stands for; `ConvertOptions` looks closer, when it is loaded."""
    asked = console.transposition(transpose)
    if isinstance(asked, str) and asked not in ("auto", "nearest"):
        raise UserError(f"transpose is {asked}; expected auto, nearest, or semitones from -36 to 36")
    if loudness not in ("follow", "normalise"):
        raise UserError(f"unknown loudness {loudness!r}; expected follow or normalise")


def _write_page(page: Path, sung: list[tuple[Path, Path, str, Report]], say: Words) -> None:
    """Write the page to listen to; what draws it takes a second to load, and is loaded only now."""
    from moksori.evaluation.report import song_page

    title = " and ".join(sorted({source.stem for source, *_ in sung})[:3])
    song_page.write(page, [song_page.Sung(*one) for one in sung], title, say)
    console.say(f"listen: {page}")


def _voices(singers: list[str] | None, mix: str | None) -> list[dict[str, float]]:
    """Who shall sing, each voice as shares of singers."""
    if (not singers) == (mix is None):
        raise UserError("say who shall sing: -s SINGER, --mix a=0.7,b=0.3, or --like TAKES")
    return [{singer: 1.0} for singer in dict.fromkeys(singers)] if singers else [_mix(mix)]


def _mix(mix: str | None) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in str(mix).split(","):
        name, _, share = part.strip().rpartition("=")
        try:
            value = float(share)
        except ValueError:
            name = ""
        if not name or name in shares:
            raise UserError(f"--mix {mix}: {part!r} is not a share, or its singer's second; write --mix a=0.7,b=0.3")
        shares[name] = value
    return shares
