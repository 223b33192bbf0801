"""Layouts of data sets, each on a miniature of it: who sings what, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from moksori.audio import files, signals
from moksori.data import layouts, sources
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import DataError, UserError

# Layout -> path of a file: its singer, or a word of the reason why it is left out.
MINIATURES = {
    "nus48e": {
        "nus-smc-corpus_48/ADIZ/sing/01.wav": "ADIZ",
        "nus-smc-corpus_48/ADIZ/read/01.wav": "-spoken",
        "nus-smc-corpus_48/JLEE/sing/05.wav": "JLEE",
        "nus-smc-corpus_48/intro.wav": "-expected SINGER/sing",
    },
    "opensinger": {
        "ManRaw/0_光年之外/0_光年之外_0.wav": "man0",
        "WomanRaw/0_默/0_默_28.wav": "woman0",
        "WomanRaw/12_song/12_song_1.wav": "woman12",
        "other/0_song/0_song_1.wav": "-expected ManRaw",
    },
    "m4singer": {
        "m4singer/Alto-1#美错/0000.wav": "Alto-1",
        "m4singer/Alto-1#newboy/0001.wav": "Alto-1",
        "m4singer/Tenor-7#song # two/0000.wav": "Tenor-7",
        "m4singer/meta/0000.wav": "-expected SINGER#SONG",
    },
    "vocalset": {
        "FULL/female1/arpeggios/belt/f1_arpeggios_belt_c_a.wav": "female1",
        "FULL/male11/long_tones/trill/m11_long_trill_a.wav": "male11",
        "FULL/male11/excerpts/spoken/m11_row_spoken.wav": "-spoken",
        "data_by_vowel/a/f1_arpeggios_belt_c_a.wav": "-the same sound",
        "data_by_technique/belt/f1_arpeggios_belt_c_a.wav": "-the same sound",
    },
    "csd": {
        "CSD/english/wav/en001a.wav": "csd",
        "CSD/korean/wav/kr001b.wav": "csd",
        "CSD/utterances/en001a/0.wav": "-pieces",
        "CSD/korean/other/kr001b.wav": "-expected english/wav",
    },
    "opencpop": {
        "opencpop/wavs/2001.wav": "opencpop",
        "opencpop/segments/wavs/2001000001.wav": "-pieces",
        "opencpop/midis/2001.wav": "-expected wavs",
    },
    "rvc": {
        "Mina_0_1/take.wav": "Mina",
        "Jun_Ho_1_20/deep/take.wav": "Jun_Ho",
        "Solo_3/take.wav": "Solo",
        "plain/take.wav": "-expected NAME_ID",
    },
    "sovits": {
        "dataset_raw/mina/a.wav": "mina",
        "dataset_raw/jun/b/c.wav": "jun",
        "dataset_raw/loose.wav": "-expected dataset_raw",
    },
}


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_a_miniature_is_read(name: str, tmp_path: Path) -> None:
    wanted = MINIATURES[name]
    _touch(tmp_path, *wanted, "words.txt")
    found, skipped = sources.find_sources(tmp_path, layouts.named(name))
    assert {source.name: source.singer for source in found} == {
        path: singer for path, singer in wanted.items() if singer[0] != "-"
    }
    reasons = {skip.source: skip.reason for skip in skipped}
    assert reasons.keys() == {path for path, singer in wanted.items() if singer[0] == "-"}
    for path, reason in reasons.items():
        assert wanted[path][1:] in reason


@pytest.mark.parametrize("name", ["nus48e", "m4singer", "vocalset"])
def test_it_does_not_matter_at_which_folder_one_begins(name: str, tmp_path: Path) -> None:
    wanted = {path: singer for path, singer in MINIATURES[name].items() if singer[0] != "-"}
    _touch(tmp_path, *wanted)
    top = tmp_path / next(iter(wanted)).split("/")[0]
    found, _ = sources.find_sources(top, layouts.named(name))
    assert {source.singer for source in found} == set(wanted.values())


def test_pieces_are_taken_where_there_are_no_whole_songs(tmp_path: Path) -> None:
    _touch(tmp_path, "segments/wavs/2001000001.wav")
    found, skipped = sources.find_sources(tmp_path, layouts.named("opencpop"))
    assert [source.singer for source in found] == ["opencpop"] and not skipped


def test_a_folder_with_wavs_is_a_singers(tmp_path: Path) -> None:
    _touch(tmp_path, "7/wavs/a.wav", "mina/wavs/b.wav")
    found, _ = sources.find_sources(tmp_path, layouts.named("sovits"))
    assert [source.singer for source in found] == ["7", "mina"]


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a/Mina_0_1/x.wav", "Mina_0_1/x.wav", "mina_1_1/x.wav")
    with pytest.raises(DataError, match="'Mina' and 'mina' differ only in case"):
        sources.find_sources(tmp_path, layouts.named("rvc"))


def test_another_tree_is_refused_and_the_expected_one_named(tmp_path: Path) -> None:
    _touch(tmp_path, "mina/a.wav")
    with pytest.raises(DataError, match=r"layout opensinger has one; expected ManRaw/NUMBER_SONG"):
        sources.find_sources(tmp_path, layouts.named("opensinger"))
    with pytest.raises(UserError, match="known ones are nus48e, opensinger"):
        layouts.named("nus")


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_a_miniature_with_sound_is_prepared(name: str, tmp_path: Path) -> None:
    wanted = MINIATURES[name]
    for number, path in enumerate(wanted):
        (tmp_path / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
        # Notes of their own: recordings of one sound are one recording.
        sound = signals.tone(200.0 + 30 * number, 0.6, 8000, amplitude=0.2, n_harmonics=5)
        files.write(tmp_path / "raw" / path, sound)
    corpus = prepare(tmp_path / "raw", tmp_path / "data", PrepareConfig(sample_rate=8000, layout=name))
    sung = {path: singer for path, singer in wanted.items() if singer[0] != "-"}
    assert set(corpus.singers) == set(sung.values())
    assert {(row.source, row.singer) for row in corpus.recordings} == set(sung.items())
    assert {skip.source for skip in corpus.skipped} == wanted.keys() - sung.keys()
    assert all(row.seconds > 0.4 for row in corpus.recordings)
