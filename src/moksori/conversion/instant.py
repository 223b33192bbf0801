"""Zero-shot voice: a singer measured from half a minute of takes joins a trained voice, in memory; nothing is trained.

    takes --> mean shape of their envelopes                           the measured part of the vector
          --> every known singer sings them --least squares--> shares     the learned part: a mix of the known ones

No weight moves and no gradient is taken, so whoever was there before sings as before, bit for bit. `training.enrol`
fits the learned part by steps, which takes longer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from moksori import arguments, checkpoint
from moksori.audio import features, files
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.data import doctor, prepare
from moksori.data.corpus import Corpus, sung_range
from moksori.data.excerpts import ExcerptTable
from moksori.data.prepare_config import PrepareConfig
from moksori.data.rights import NAMES as NAMES_OF_RIGHTS
from moksori.data.stretches import StretchConfig
from moksori.errors import AudioFileError, DataError, UserError
from moksori.language import ENGLISH, Words
from moksori.models import kinds, roster
from moksori.models.kinds import Converter
from moksori.models.source_filter_model import SourceFilterModel
from moksori.progress import OnProgress

LEAST_SECONDS = 5.0  # of singing; a mean over less tells a few vowels, not a voice
ENOUGH_SECONDS = 30.0  # of singing that is advised
MOST_SECONDS = 180.0  # of sound that is measured: two minutes came no nearer than half a one (docs/benchmarks.md)

_N_EXCERPTS, _EXCERPT_SECONDS = 8, 1.28  # of the takes, laid evenly over them, that known singers sing
_QUIET_DB = 30.0  # a frame so far under the loudest of them does not count
_EVENNESS = 0.1  # pull towards equal shares, as a part of how far the singers are from each other
_MOST_SINGERS = 32  # who sing the takes: those whose recordings' mean shapes are nearest
_N_STEPS = 1000  # of the least squares over a few shares: microseconds each


@dataclass(frozen=True)
class Takes:
    """What was measured of a singer's takes."""

    singer: str
    sung_seconds: float
    sung: PitchRange  # where
    mean_shape: Tensor  # [2 N_BANDS], see `audio.shapes`
    excerpts: Tensor  # [n, N, F], see `features.excerpt`
    fingerprint: str  # of the takes, prepared
    rights: str  # what the singer agreed to; "" where nothing is stated
    remarks: tuple[str, ...]  # what is wrong with them, and what to do, in the reader's language


def name_of(takes: Path, name: str = "") -> str:
    """How the singer of some takes is called: as said, or as their folder or file is."""
    found = takes.resolve()
    return name or (found.stem if found.is_file() else found.name)


def measure(
    takes: Path,
    model: Converter,
    level_dbfs: float,
    *,
    name: str = "",
    say: Words = ENGLISH,
    progress: OnProgress | None = None,
) -> Takes:
    """Measure the takes of one singer, for a model.

    Args:
        takes: a folder of recordings, or a recording.
        model: whose rate, hop and length of excerpts they are measured with.
        level_dbfs: of the singing that the model was trained on; the takes are brought to it.
        name: of the singer; "" for that of the folder or file.
        say: gives advice in the reader's language.
        progress: called for each recording.

    Raises:
        UserError: the voice has no measured part; there are no takes; too little is sung in them.
        DataError: nothing that could be used is in them, or the folder holds folders of several singers.
        AudioFileError: a disk refused.
    """
    takes, detailed = arguments.path(takes, "takes"), _with_measured_part(model)
    if not takes.exists():
        raise UserError(
            f"{takes}: no such folder or file; expected the recordings of one singer, half a minute or more"
        )
    singer = name_of(takes, name)
    _refuse_namesake(detailed, singer)
    with tempfile.TemporaryDirectory(prefix="moksori-like-") as scratch:
        measured, n_left = _chosen(takes, Path(scratch))
        try:
            corpus = _prepared(measured, Path(scratch), singer, detailed.config.sample_rate, level_dbfs, progress)
        except DataError as error:
            raise DataError(str(error).replace(f"{measured}:", f"{takes}:")) from None
        sung_seconds = sum(recording.sung_seconds for recording in corpus.recordings)
        sung = sung_range(corpus.recordings)
        if sung is None:
            raise UserError(f"{takes}: no voiced sound was found in it; listen whether this is singing")
        if sung_seconds < LEAST_SECONDS:
            raise UserError(
                f"{takes}: {sung_seconds:.1f} s of singing; expected at least {LEAST_SECONDS:g} s, and better "
                f"{ENOUGH_SECONDS:g} s: record more"
            )
        config = detailed.config
        pool = config.encoder.pool_frames
        n_frames = max(1, round(_EXCERPT_SECONDS * config.sample_rate / config.hop_samples / pool)) * pool
        table = ExcerptTable(corpus, "train", config.features, n_frames, 0)
        return Takes(
            singer,
            sung_seconds,
            sung.rounded(),
            table.mean_shapes()[0],
            torch.stack([segment.clip for segment in table.fixed_items(_N_EXCERPTS)]),
            corpus.fingerprint,
            dict(corpus.rights).get(singer, ""),
            tuple(_remarks(corpus, sung_seconds, n_left, say)),
        )


def with_singer(
    model: Converter, provenance: Provenance, takes: Takes, licence_note: str = ""
) -> tuple[SourceFilterModel, Provenance]:
    """A copy of a voice in which the singer of some takes sings, too.

    Args:
        model: the voice; it is not changed.
        provenance: of the voice.
        takes: of the new singer, measured for it.
        licence_note: their terms.

    Raises:
        UserError: the voice has no measured part, or a singer of that name.
    """
    if not isinstance(takes, Takes):
        raise TypeError(f"takes is {takes!r:.80}; expected what `instant.measure` gives, or use `Voice.like`")
    detailed = _with_measured_part(model)
    names = detailed.singers.names
    _refuse_namesake(detailed, takes.singer)
    shares = nearest_mix(detailed, takes)
    grown = roster.with_singers(detailed, {**{name: name for name in names}, takes.singer: None})
    table, measured = grown.singers.table.weight, grown.singers.measured
    assert measured is not None
    with torch.no_grad():
        table[-1] = shares.to(table) @ table[:-1]
        measured[-1] = takes.mean_shape.to(measured)
    grown.requires_grad_(requires_grad=False)
    terms = licence_note or f"Of {takes.singer}, no terms were stated. Ask them."
    said = checkpoint.measured_from(takes.singer, takes.sung_seconds)
    changed = dataclasses.replace(
        provenance,
        ranges=provenance.ranges | {takes.singer: takes.sung},
        rights=provenance.rights | ({takes.singer: takes.rights} if takes.rights else {}),
        licence_note=f"{provenance.licence_note} {terms}".strip(),
        lineage=(*provenance.lineage, f"{said}; takes {takes.fingerprint[:16]}"),
    )
    return grown.eval(), changed


@torch.no_grad()
def nearest_mix(model: SourceFilterModel, takes: Takes) -> Tensor:
    """The shares of a model's singers `[N]` whose mix comes nearest the singer of some takes.

    With the measured part of the new vector beside each known singer's learned part, the model sings the takes again,
    as many times as there are singers, with none of the takes' own detail. The shares are those by which these
    envelopes, added up, are nearest what was measured: least squares over positive shares that sum to 1, with a pull to
    equal ones. The model was trained on mixes of singers, so a mix of vectors sings about what the envelopes add up to.
    """
    measured = model.singers.measured
    assert measured is not None
    excerpts = takes.excerpts.to(measured.device)
    mean = takes.mean_shape.to(measured)
    distance = (measured - mean).square().mean(dim=1)
    chosen = distance.argsort()[:_MOST_SINGERS]
    alone = features.with_gain(excerpts, torch.zeros(len(excerpts), device=excerpts.device))
    z, f0_hz, levels_dbfs = model.encode(alone), features.f0_hz(alone), features.levels_dbfs(alone)
    counts = (f0_hz > 0) & (levels_dbfs > levels_dbfs.amax() - _QUIET_DB)  # [n, F]
    wanted = _frames(features.densities(alone), counts)
    sung = torch.stack(
        [
            _frames(model.densities(model.controls(z, alone, vector.expand(len(alone), -1))), counts)
            for vector in torch.cat([model.singers.table.weight[chosen], mean.expand(len(chosen), -1)], dim=1)
        ]
    )
    shares = torch.zeros(len(measured), dtype=torch.float64)
    shares[chosen.cpu()] = _shares(sung.cpu(), wanted.cpu())
    return shares


def _frames(envelopes: Tensor, counts: Tensor) -> Tensor:
    """The frames that count, `[n, bands, F] -> [frames * bands]`."""
    return envelopes.transpose(1, 2)[counts].flatten().double()


def _shares(sung: Tensor, wanted: Tensor) -> Tensor:
    """Least squares over positive shares that sum to 1, `[n, values], [values] -> [n]`, by projected gradient.

    Source: projection onto the simplex, Duchi et al. 2008, figure 1.

    >>> _shares(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1.0, 0.0])).round(decimals=1).tolist()
    [1.0, 0.0]
    """
    n, n_values = sung.shape
    sung, wanted = sung.double() / max(1, n_values) ** 0.5, wanted.double() / max(1, n_values) ** 0.5
    apart = (sung - sung.mean(dim=0)).square().sum(dim=1).mean()
    products = sung @ sung.T + _EVENNESS * apart * torch.eye(n, dtype=torch.float64)
    towards = sung @ wanted  # of the pull to 1 / n the linear part is the same for all shares that sum to 1
    shares = torch.full((n,), 1.0 / n, dtype=torch.float64)
    rate = 1.0 / float(torch.linalg.matrix_norm(products, 2).clamp(min=1e-12))
    for _ in range(_N_STEPS):
        shares = _on_simplex(shares - rate * (products @ shares - towards))
    return shares


def _on_simplex(values: Tensor) -> Tensor:
    """The nearest positive shares that sum to 1."""
    falling = values.sort(descending=True).values
    over = (falling.cumsum(0) - 1) / torch.arange(1, len(values) + 1, dtype=values.dtype)
    last = int(torch.nonzero(falling > over)[-1, 0])
    return (values - over[last]).clamp(min=0)


def _refuse_namesake(model: SourceFilterModel, singer: str) -> None:
    """Refuse a singer who is called as another one.

    Raises:
        UserError: so it is.
    """
    if singer in model.singers.names:
        raise UserError(
            f"the voice has a singer named {singer!r} already; rename the folder of the takes, or say -s {singer} to "
            "have the song from the one it has"
        )


def _with_measured_part(model: Converter) -> SourceFilterModel:
    """The same model.

    Raises:
        UserError: its singers have no part that is measured.
    """
    if kinds.is_source_filter(model) and model.singers.measured is not None:
        return model
    raise UserError(
        "this voice knows its singers by training alone, and cannot take up another from takes; take the shipped one, "
        "or train with the present recipe swift"
    )


def _prepared(
    takes: Path, scratch: Path, singer: str, sample_rate: int, level_dbfs: float, progress: OnProgress | None
) -> Corpus:
    """The takes as a corpus of one singer, all of whose recordings count."""
    config = PrepareConfig(
        sample_rate=sample_rate,
        level_dbfs=level_dbfs,
        singer=singer,
        validation_share=0.0,
        test_share=0.0,
        stretches=StretchConfig(long_seconds=0.0),
    )
    return prepare.prepare(takes, scratch / "data", config, progress)


def _chosen(takes: Path, scratch: Path) -> tuple[Path, int]:
    """A folder with the takes that are measured, from all over those that are there, and how many are left out.

    Raises:
        DataError: the folder holds folders of several singers.
    """
    if takes.is_dir() and any(path.is_dir() and not path.name.startswith(".") for path in takes.iterdir()):
        raise DataError(f"{takes}: holds folders, and each is a singer by its own name; choose one of them")
    found = sorted(path for path in takes.iterdir() if files.is_candidate(path)) if takes.is_dir() else [takes]
    chosen = _enough(found)
    if takes.is_dir() and len(chosen) == len(found):
        return takes, 0
    folder = scratch / "takes"
    folder.mkdir()
    rights = [takes / name for name in NAMES_OF_RIGHTS if (takes / name).is_file()]
    for path in [*chosen, *rights]:
        _put(path, folder / path.name)
    return folder, len(found) - len(chosen)


def _enough(takes: list[Path]) -> list[Path]:
    """So many of the takes that they hold `MOST_SECONDS`, evenly from first to last; all, where there are no more.

    What cannot be read holds nothing, and stays in, to be named by whoever reads it.
    """
    # Multiples of the golden ratio fill the interval evenly, however many of them are taken.
    order = sorted(range(len(takes)), key=lambda index: (index * (5**0.5 - 1) / 2) % 1.0)
    chosen, seconds = [], 0.0
    for index in order:
        if seconds >= MOST_SECONDS:
            break
        chosen.append(takes[index])
        with contextlib.suppress(AudioFileError):
            seconds += files.probe(takes[index]).seconds
    return sorted(chosen)


def _put(file: Path, place: Path) -> None:
    """A file at another place: a link, or where there are none a copy."""
    try:
        os.symlink(file.resolve(), place)
    except OSError:
        shutil.copyfile(file, place)


def _remarks(corpus: Corpus, sung_seconds: float, n_left: int, say: Words) -> Iterator[str]:
    """What is wrong with takes, by the data doctor's rules, and what was left out."""
    if sung_seconds < ENOUGH_SECONDS:
        yield say(
            "{seconds} s of singing: {enough} s or more come nearer to the singer.",
            seconds=f"{sung_seconds:.0f}",
            enough=f"{ENOUGH_SECONDS:g}",
        )
    if n_left:
        n_measured = len({recording.source for recording in corpus.recordings}) + len(corpus.skipped)
        yield say(
            "{n} of {total} takes were measured, from all over them: that is enough for a mean, and more takes time.",
            n=n_measured,
            total=n_measured + n_left,
        )
    for skip in corpus.skipped:
        yield say("{file} was left out: {reason}", file=skip.source, reason=skip.reason)
    yield from doctor.advice_on_sound(corpus, corpus.singers[0], say)
