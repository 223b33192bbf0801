"""`moksori convert`: songs in, the same songs in another voice out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori import language, ownership, presets
from moksori.cli import catalogue, console, names
from moksori.cli.console import SongBars
from moksori.errors import AudioFileError, UserError
from moksori.language import Words
from moksori.workers import places
from moksori.workers.places import Place

if TYPE_CHECKING:
    from moksori.conversion import ConvertOptions, Report, Voice
    from moksori.conversion.analysis import GivenMelody
    from moksori.conversion.preview import Loudest

SOME_FAILED = 7
_N_NAMED = 3  # songs named in a line
_LONGEST_NAME = 255  # bytes of a file's name on nearly every file system

Job = tuple[Path, Path, dict[str, float]]
"""A song, the place of its result, and who sings it, as shares."""


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
    from moksori.conversion import ConvertOptions, SongFile
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
        voice, singer = _like(voice, like, say)
        voices = [{singer: 1.0}]
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
        by_label = {_label(shares): shares for shares in voices}
        catalogue.convert(
            [Place.of(source) for source in sources], voice, model, by_label, options, request, chosen_device
        )
        return
    if len(voices) > 1 and output is not None and not os.path.isdir(output) and output.suffix:
        raise UserError(f"{output}: one file cannot take the songs of {len(voices)} singers; give a folder with -o")
    label = _preview_label if preview else _label
    jobs = [
        (*job, shares) for shares in voices for job in _jobs(songs, output, label(shares), is_single=len(voices) == 1)
    ]
    clashes, n_there = _clashes([job[:2] for job in jobs], force), 0
    if skip_existing:
        clashes, done = (
            {n: e for n, e in clashes.items() if not e.is_there},
            [n for n, e in clashes.items() if e.is_there],
        )
        n_there = len(done)
        for number in done:
            _print_there(*jobs[number][:2], as_json)
        jobs, clashes = _without(jobs, clashes, done)
    if len(jobs) == 1 and clashes:
        raise clashes[0]
    if page is not None:
        others = [path for job in jobs for path in job[:2]] + [path for path in (model, melody, melody_out) if path]
        console.refuse_to_overwrite(page, force, others)
    track = _given_melody(melody, melody_out, [source for source, *_ in jobs])
    if melody_out is not None:
        read = [path for job in jobs for path in job[:2]]
        places_of = _melody_places(melody_out, [source for source, *_ in jobs], read, force, is_left=skip_existing)
        if mixing is None:
            _write_melodies(places_of, voice, options)
        else:
            mixing = replace(mixing, melodies=places_of)
    if stems is not None:
        _check_stems(stems, [destination for _, destination, _ in jobs], force)
    if save_preset is not None:
        _keep_preset(save_preset, model, given, force)
    if len(jobs) > 1 and not as_json:
        console.say(_what_goes_where(jobs))
    moved: dict[str, float] = {}
    if is_one_song and voice.is_pitch_conditioned:
        parts = [source for source, *_ in jobs]
        alike = voice.transpositions_together(parts, voices, options)
        moved = {_label(shares): semitones for shares, semitones in zip(voices, alike, strict=True)}
    failures, sung, ready, labels = 0, [], [], []
    told: set[tuple[Path, str]] = set()  # what was noted of a song; it is not said again for its next singer
    began = time.monotonic()
    loudest: dict[Path, Loudest] = {}
    for number, (source, destination, shares) in enumerate(jobs):
        try:
            if number in clashes:
                raise clashes[number]
            console.make_folder(destination.parent)
            song = SongFile(source, destination, shares, moved.get(_label(shares)), melody=track)
            if preview is not None and not separate:  # of a mix, the voice that is taken out tells where and how high
                if source not in loudest:
                    loudest[source] = voice.loudest(source, preview, options)
                song = voice.part_of(song, loudest[source], options)
            ready.append(song)
            labels.append(_label(shares))
        except UserError as error:
            if len(jobs) == 1:
                raise
            failures += 1
            _print_failed(source, error, as_json)
    with console.side_by_side([song.source.name for song in ready]) as progress:
        if mixing is None:
            outcomes = voice.convert_files(ready, options=options, progress=progress)
        else:
            outcomes = mix_files(voice, ready, options, mixing, progress)
        for number, outcome in outcomes:
            song = ready[number]
            if isinstance(outcome, UserError):
                if len(jobs) == 1:
                    raise outcome
                failures += 1
                _print_failed(song.source, outcome, as_json, progress.say)
            else:
                sung.append((song.source, song.destination, labels[number], outcome))
                _print_done(song.source, song.destination, outcome, as_json, progress, told)
    if sung and not as_json:
        console.say(_how_long([report for *_, report in sung], time.monotonic() - began))
    if len(sung) > 1 and (ways := _different_ways(sung)):
        console.say(ways)
    if page is not None and sung:
        _write_page(page, sung, say)
    if page is not None and n_there:
        what = f"of the {len(sung)} that were sung now" if sung else "not written, since nothing was sung now"
        console.say(f"{page}: {what}; {n_there} results were there already")
    if failures:
        console.say(f"{len(jobs) - failures} of {len(jobs)} songs converted; {failures} failed, named above")
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


def _like(voice: Voice, takes: Path, say: Words) -> tuple[Voice, str]:
    """The voice with the singer of some takes, and how they are called; what is wrong with the takes is said."""
    from moksori.conversion import instant

    with console.counted("measuring") as progress:
        found = instant.measure(takes, voice.model, voice.provenance.level_dbfs, say=say, progress=progress)
    for remark in found.remarks:
        console.say(f"note: {takes}: {remark}")
    return voice.with_singer(found), found.singer


def _check_stems(folder: Path, destinations: list[Path], force: bool) -> None:
    """Refuse to write stems over what is there."""
    from moksori.conversion import mix

    console.make_folder(folder)
    for destination in destinations:
        for name in mix.STEMS:
            console.refuse_to_overwrite(mix.stem_file(folder, destination, name), force, destinations)


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


def _given_melody(melody: Path | None, melody_out: Path | None, sources: list[Path]) -> GivenMelody | None:
    """The melody of a file, which is of one song alone."""
    from moksori.audio import f0_file, score

    if melody is None:
        return None
    if melody_out is not None:
        raise UserError("--melody gives a melody, --melody-out asks for the one that is heard; leave one of them out")
    if len(set(sources)) > 1:
        raise UserError(
            f"{melody}: is the melody of one song, and there are {len(set(sources))}; convert that one alone"
        )
    return score.read(melody) if melody.suffix.lower() in score.SUFFIXES else f0_file.read(melody)


def _melody_places(
    output: Path, sources: list[Path], used: list[Path], force: bool, *, is_left: bool
) -> dict[Path, Path]:
    """Where the melody of each song goes: to a file, or into a folder.

    What lies at one of the places `used` is never written over; what is there already may be left as it is.
    """
    from moksori.audio import f0_file

    songs = list(dict.fromkeys(sources))
    is_file = len(songs) == 1 and not os.path.isdir(output) and bool(output.suffix)
    places = [output if is_file else output / f"{song.name}{f0_file.SUFFIX}" for song in songs]
    for place in places:
        if not (is_left and place.is_file()):
            console.refuse_to_overwrite(place, force, used)
    if len(set(places)) < len(places):
        raise UserError(f"{output}: two songs of one name would leave their melodies here; convert them in two calls")
    wanted = {song: place for song, place in zip(songs, places, strict=True) if not (is_left and place.is_file())}
    for place in wanted.values():
        console.make_folder(place.parent)
    return wanted


def _write_melodies(places_of: dict[Path, Path], voice: Voice, options: ConvertOptions) -> None:
    """Write the tracked melody of each song, before it is sung; one that cannot be read is left to the conversion."""
    from moksori.audio import f0_file
    from moksori.errors import AudioFileError

    for song, place in places_of.items():
        try:
            track = voice.melody_of(song, options)
        except AudioFileError:
            continue
        f0_file.write(place, track)
        console.say(f"melody: {place}")


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


def _label(shares: dict[str, float]) -> str:
    """How the voice is called in a file's name; never a path."""
    return console.file_label(
        "+".join(name if len(shares) == 1 else f"{name}{share:g}" for name, share in shares.items())
    )


def _preview_label(shares: dict[str, float]) -> str:
    return f"{_label(shares)}.preview"


def _jobs(songs: list[Path], output: Path | None, label: str, *, is_single: bool) -> Iterator[tuple[Path, Path]]:
    """Pairs of source and destination; a folder is searched through, and its tree is kept."""
    from moksori.audio import files

    is_single = is_single and len(songs) == 1 and not os.path.isdir(songs[0])
    for song in songs:
        if os.path.isdir(song):
            named = song if song.name not in ("", "..") else song.resolve()  # `.` and `..` have names, too
            target = output or named.parent / f"{named.name}.{label}"
            found = [path for path in sorted(song.rglob("*")) if files.is_candidate(path) and not path.is_dir()]
            found = [path for path in found if not _is_no_song(path, song, target, label)]
            if not found and len(songs) > 1:  # the others go on
                yield song, _converted_name(target / song.name, label)
                continue
            if not found:
                known = ", ".join(sorted(files.SUFFIXES))
                raise UserError(f"{song}: no sound file in this folder; known suffixes are {known}")
            yield from ((path, _converted_name(target / path.relative_to(song), label)) for path in found)
        elif is_single and output is not None and not os.path.isdir(output):
            yield song, output
        else:
            yield song, _converted_name((output or song.parent) / song.name, label)


_NOT_SONGS = ("run.json", "manifest.json", "report.json")  # files that tell a folder of a run, of data, of a report


def _is_no_song(path: Path, folder: Path, target: Path, label: str) -> bool:
    """Whether a sound file is a result of an earlier call, or lies in a folder that this program made."""
    above = [parent for parent in path.parents if parent != folder and folder in parent.parents]
    is_ours = any((parent / name).is_file() for parent in above for name in _NOT_SONGS)
    label = label.removesuffix(".preview")
    is_result = path.stem.endswith((f".{label}", f".{label}.preview")) or any(
        parent.name.endswith(f".{label}") for parent in above
    )
    return is_ours or is_result or target in path.parents


def _converted_name(path: Path, label: str) -> Path:
    """`song.mp3` -> `song.kumi.mp3`; formats that are only read become FLAC."""
    from moksori.audio import files

    suffix = path.suffix if files.is_writable(path) else ".flac"
    end = f".{label}{suffix}"
    stem = os.fsencode(path.stem)[: max(1, _LONGEST_NAME - len(os.fsencode(end)))]
    # A letter that was cut through is left out, in so far as the name is text at all.
    whole = (
        stem.decode(errors="ignore")
        if os.fsencode(path.stem).decode(errors="ignore") == path.stem
        else os.fsdecode(stem)
    )
    return path.with_name(f"{whole}{end}")


class _Clash(UserError):
    """A result that cannot be written to its place, because of what is there or will be."""

    def __init__(self, message: str, *, is_there: bool = False) -> None:
        super().__init__(message)
        self.is_there = is_there  # only: a result of that name exists


def _clashes(jobs: list[tuple[Path, Path]], force: bool) -> dict[int, _Clash]:
    """Of which jobs, by number, the result would take the place of something; the others can be done."""
    sources = {os.path.realpath(source) for source, _ in jobs}
    seen: set[str] = set()
    found: dict[int, _Clash] = {}
    for number, (source, destination) in enumerate(jobs):
        real = os.path.realpath(destination)
        if real in sources or ownership.is_same(source, destination):
            found[number] = _Clash(f"{destination}: is itself a song to convert; choose another place with -o")
        elif real in seen:
            found[number] = _Clash(
                f"{destination}: two songs would be written here; convert them in two calls, with -o"
            )
        elif os.path.lexists(destination) and not force:
            found[number] = _Clash(
                f"{destination}: exists already; use --force to overwrite it, --skip-existing to leave out what is "
                "there, or -o for another place",
                is_there=os.path.isfile(destination),
            )
        seen.add(real)
    return found


def _without(jobs: list[Job], clashes: dict[int, _Clash], done: list[int]) -> tuple[list[Job], dict[int, _Clash]]:
    """Jobs, and what stands in their way, without those that are done."""
    left = [number for number in range(len(jobs)) if number not in done]
    return [jobs[number] for number in left], {
        new: clashes[number] for new, number in enumerate(left) if number in clashes
    }


def _what_goes_where(jobs: list[Job]) -> str:
    """How many songs become how many files, and where: a slip such as `convert .` is seen before the work.

    >>> _what_goes_where([(Path("in/a.wav"), Path("out/a.wav"), {}), (Path("in/b.wav"), Path("out/c/b.wav"), {})])
    '2 songs, 2 results, into out'
    """
    n_songs = len({source for source, *_ in jobs})
    folders = {destination.parent for _, destination, *_ in jobs}
    if all(destination.parent == source.parent for source, destination, *_ in jobs):
        place = "each beside its song"
    elif len({folder.is_absolute() for folder in folders}) > 1:
        place = f"into {len(folders)} folders"
    else:
        place = f"into {Path(os.path.commonpath(folders))}"
    return f"{n_songs} song{'s' * (n_songs > 1)}, {len(jobs)} results, {place}"


def _different_ways(sung: list[tuple[Path, Path, str, Report]]) -> str:
    """A word on songs of one call that were moved differently, which parts of one song must not be; "" if none were."""
    for label in dict.fromkeys(label for _, _, label, _ in sung):
        moved: dict[float, list[str]] = {}
        for source, _, singer, report in sung:
            if singer == label:
                moved.setdefault(report.transpose_semitones, []).append(source.name)
        if len(moved) > 1:
            shifts = "; ".join(f"{_named(moved[by])} by {by:+g} semitones" for by in sorted(moved))
            return (
                f"note: {label} sings these songs moved differently: {shifts}. If they are parts of one song, add "
                f"--together, or give --transpose {max(moved, key=lambda by: len(moved[by])):g}"
            )
    return ""


def _named(names: list[str]) -> str:
    more = len(names) - _N_NAMED
    return ", ".join(names[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")


def _print_there(source: Path, destination: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"source": str(source), "result": str(destination), "is_skipped": True}))
    else:
        console.say(f"{destination}: is there already")


def _how_long(reports: list[Report], spent_seconds: float) -> str:
    """How much was sung in how much time, the reading and the writing included."""
    seconds = sum(report.n_samples / report.sample_rate for report in reports)
    what = f"{len(reports)} results, " if len(reports) > 1 else ""
    return f"{what}{console.duration_text(seconds)} of sound in {console.duration_text(spent_seconds)}"


def _print_done(
    source: Path, destination: Path, report: Report, as_json: bool, bars: SongBars, told: set[tuple[Path, str]]
) -> None:
    seconds = report.n_samples / report.sample_rate
    if as_json:
        bars.result(json.dumps({"source": str(source), "result": str(destination), **_plain(report)}))
        return
    bars.result(f"{source} -> {destination} ({console.duration_text(seconds)} of sound)")
    for note in report.remarks:
        if (source, note) not in told:
            bars.say(f"  note: {note}")
            told.add((source, note))
    for singer, seconds in report.measured.items():
        bars.say(f"  note: {singer} was measured from {seconds:.0f} s of takes, and not trained")
    if report.note:
        bars.say(f"  note: {report.note}")
    if report.transpose_semitones:
        bars.say(f"  note: sung {console.semitones_text(report.transpose_semitones)} than the song")
    if report.outside:
        bars.say(f"  note: {console.outside_text(report.outside)}")
    if report.n_clipped:
        bars.say(f"  note: {report.n_clipped} samples were too loud for the format and were clipped")


def _print_failed(source: Path, error: UserError, as_json: bool, say: Callable[[str], None] = console.say) -> None:
    if as_json:
        typer.echo(json.dumps({"source": str(source), "error": str(error)}))
    else:
        say(f"failed: {error}")


def _plain(report: Report) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(report)
