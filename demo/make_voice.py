"""Make the voice that comes with the package, and its card, of a run and the report about it.

    moksori prepare SINGERS -o DATA              folders scottpoid, kumi, dorodoro, and demo/singers
    moksori train DATA -o RUN --recipe demo/voice.toml --max-steps 4320
    in RUN/recipe.toml: adversarial, detail and content as in recipe `taught`
    moksori train DATA -o RUN --recipe RUN/recipe.toml --max-steps 7612
    moksori evaluate RUN DATA -o REPORT --texts TEXTS --transpose nearest
    python demo/make_voice.py RUN/model.safetensors REPORT

The recordings of the three real singers are not part of the project; the card says where they come from.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import moksori
from moksori import checkpoint
from moksori.conversion import SHIPPED_VOICE
from moksori.evaluation.report import data as reports

VOICES = Path(moksori.__file__).parent / "voices"
TERMS = (
    "Scottpoid: credit SCOTTPOID. Kumi: Hitsuboku Kumi, Cubialpha; edited: trained on and resynthesised. dorodoro: "
    "dorodoro. syn_*: Nagoya Institute of Technology, CC BY 3.0, edited. See voices/first.md."
)
ROWS = ("conversion", "reconstruction", "ground truth")
COLUMNS = ("identified", "leak", "identified_public", "raw_pitch_accuracy", "vowel_accuracy")

CARD = """# The shipped voice

`moksori convert SONG -s {first}` sings with it. A model of recipe `swift`: it takes melody and words of a song, and
sings them as one of {n} singers. {size:.1f} MB, weights in half precision.

| singer | range in training | from |
| --- | --- | --- |
{singers}

## Terms and credits

- **scottpoid**: SCOTTPOID, `oxygen-dioxide/scottpoid-ja`. Credit SCOTTPOID; edits, commercial use and partial
  redistribution are allowed as long as the voice bank is not discontinued.
  <https://github.com/oxygen-dioxide/scottpoid-ja>
- **kumi**: Hitsuboku Kumi (筆墨クミ), Cubialpha, `oxygen-dioxide/hitsuboku-kumi-ja-act4`. Redistribution, edits and
  commercial use with credit to Cubialpha and this statement: the recordings were edited; a net was trained on them, and
  its sound is synthesised. <https://github.com/oxygen-dioxide/hitsuboku-kumi-ja-act4>
- **dorodoro**: dorodoro, `oxygen-dioxide/dorodoro-ja-vcv`, "use as you like, even commercially".
  <https://github.com/oxygen-dioxide/dorodoro-ja-vcv>
- **syn_bass, syn_child, syn_sop, syn_tenor**: invented singers, warped from the HTS voice "NIT SONG070 F001" of the
  Nagoya Institute of Technology, CC BY 3.0.

These are voices of people, but for the last. Say that it is a conversion, and keep the credits.

## How it was made

{steps:,} steps in {minutes:.0f} minutes on two CPU cores, shared with other work; half an hour of singing, strings of
Japanese syllables held on one pitch. The commands stand in `demo/make_voice.py`.

## What is known of it

Three held-out recordings of each singer who has so many, into every other voice; what the columns mean stands in
`docs/evaluation.md`. {note}

| clips | how many | heard as the target | as the source | as the target, public encoder | pitch right | vowels right |
| --- | --- | --- | --- | --- | --- | --- |
{figures}

"Pitch right" is judged by pYIN, which counts a frame that it hears as unvoiced as wrong, and hears a recording sung
anew in its own voice as right in {ceiling}. The invented singers, of whom there is half a minute each, pull it down.

What it cannot do: accompaniment (separate the vocals first), rap and whispers, words as clear as the singer's own;
notes far from a singer's range sound less like them, and `convert` tells where they are.
"""


def main(run: Path, report_folder: Path) -> None:
    """Write the voice and its card."""
    voice = moksori.load(run)
    provenance = replace(voice.provenance, licence_note=TERMS)
    VOICES.mkdir(exist_ok=True)
    path = VOICES / SHIPPED_VOICE
    checkpoint.write_model(path, voice.model, provenance, is_half=True)
    told = reports.load(report_folder)
    origins = {"scottpoid": "a voice bank", "kumi": "a voice bank", "dorodoro": "a voice bank"}
    rows = []
    for name in voice.singers:
        bounds = provenance.ranges[name]
        low, high = (moksori_note(hz) for hz in (bounds.low_hz, bounds.high_hz))
        rows.append(f"| {name} | {low} to {high} | {origins.get(name, 'invented')} |")
    found = {row.name: row for row in told.rows}
    figures = [f"| {name} | {found[name].n} | " + " | ".join(_cells(found[name])) + " |" for name in ROWS]
    card = CARD.format(
        first=voice.singers[voice.singers.index("scottpoid")],
        n=len(voice.singers),
        size=path.stat().st_size / 1e6,
        singers="\n".join(rows),
        steps=provenance.steps,
        minutes=provenance.training_seconds / 60,
        note="Each song was moved by semitones to where its target sings (`--transpose nearest`).",
        figures="\n".join(figures),
        ceiling=f"{found['reconstruction'].figures['raw_pitch_accuracy'].mean:.0%}",
    )
    (VOICES / "first.md").write_text(card, encoding="utf-8")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def moksori_note(hz: float) -> str:
    """The note of a pitch."""
    from moksori.audio import pitch

    return pitch.note_name(hz)


def _cells(row: reports.Row) -> list[str]:
    return [
        "–"
        if (figure := row.figures.get(name)) is None
        else f"{figure.mean:.0%}" + (f" ({figure.low:.0%} to {figure.high:.0%})" if figure.low < figure.high else "")
        for name in COLUMNS
    ]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
