"""`moksori prepare` and `moksori train`, and the whole way from folders of recordings to a converted song."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
from calling import Moksori, write_song

from moksori.audio import files


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    folder = tmp_path / "singers"
    two = synthetic.SINGERS[:2]
    synthetic.write_corpus(folder, np.random.default_rng(0), singers=two, n_songs=3, seconds=1.0, sample_rate=8000)
    return folder


def test_the_whole_way(moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path) -> None:
    run = tmp_path / "run"
    trained = moksori("train", singers, "-o", run, "--recipe", tiny_recipe_file, "--max-steps", 4)
    assert trained.code == 0, trained.err
    assert "Trained 4 steps" in trained.err
    assert "moksori convert SONG -m" in trained.err
    song = write_song(tmp_path / "song.wav")
    converted = moksori("convert", song, "-m", run, "-s", "tenor")
    assert converted.code == 0, converted.err
    assert files.probe(tmp_path / "song.tenor.wav").n_samples == 400
    facts = json.loads(moksori("info", run, "--json").out)
    assert facts["singers"] == ["bass", "tenor"]
    assert facts["provenance"]["steps"] == 4


def test_the_same_command_goes_on_and_then_has_nothing_left(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    run = tmp_path / "run"
    for n_steps, said in ((2, "Trained 2 steps"), (4, "Trained 4 steps"), (4, "Trained 4 steps")):
        done = moksori("train", singers, "-o", run, "-r", tiny_recipe_file, "--max-steps", n_steps)
        assert done.code == 0, done.err
        assert said in done.err


def test_a_run_goes_on_with_its_own_recipe_when_none_is_named(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    run = tmp_path / "run"
    assert moksori("train", singers, "-o", run, "-r", tiny_recipe_file, "--max-steps", 2).code == 0
    done = moksori("train", singers, "-o", run, "--max-steps", 3)  # the default, `small`, used to be taken for a change
    assert done.code == 0, done.err
    assert "Trained 3 steps" in done.err


def test_training_events_are_json_lines(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    done = moksori("train", singers, "-o", tmp_path / "run", "-r", tiny_recipe_file, "--max-steps", 5, "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {"resumed", "logged"} <= {event["event"] for event in events}


def test_prepare_tells_what_it_found(moksori: Moksori, singers: Path, tmp_path: Path) -> None:
    (singers / "bass" / "notes.txt").write_text("la", encoding="utf-8")
    done = moksori("prepare", singers, "-o", tmp_path / "data", "--rate", 8000)
    assert done.code == 0, done.err
    assert "bass" in done.out
    assert "tenor" in done.out
    assert "tenor: Only 0.0 minutes of singing" in done.out  # advice says whom it is about
    assert "bass: not an audio suffix: 1 file(s) (.txt)" in done.out
    found = json.loads(moksori("prepare", singers, "-o", tmp_path / "data", "--rate", 8000, "--json").out)
    assert [singer["singer"] for singer in found["singers"]] == ["bass", "tenor"]
    assert [skip["source"] for skip in found["skipped"]] == ["bass"]


def test_one_singer_alone_can_be_trained_with_a_warning(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (singers / "bass").rename(alone / "bass")
    done = moksori("train", alone, "-o", tmp_path / "run", "-r", tiny_recipe_file, "--max-steps", 2)
    assert done.code == 0, done.err
    assert "only one singer" in (done.out + done.err).lower()


def test_the_best_model_is_chosen_by_conversions_and_named(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    run = tmp_path / "run"
    done = moksori(
        "train", singers, "-o", run, "-r", tiny_recipe_file, "--set", "loop.score_every_steps=2", "--max-steps", 5
    )
    assert done.code == 0, done.err
    assert "heard as the target" in done.err
    assert (run / "best.safetensors").is_file()
    chosen, last = (json.loads(moksori("info", run / name, "--json").out) for name in ("best.safetensors", "."))
    assert chosen == last
    assert chosen["provenance"]["steps"] in (2, 4, 5)
    assert f"The best conversions were those after {chosen['provenance']['steps']} steps" in done.err
    assert ("the last one is" in done.err) == (chosen["provenance"]["steps"] < 5)


def test_the_end_says_what_was_not_reached_and_when_it_would_be(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    """After fifteen minutes and 127 steps not a word said that phase 2 begins at step 500, hours later."""
    phases = ["--set", "back_translation.start=step", "--set", "back_translation.start_step=10"]
    done = moksori(
        *("train", singers, "-o", tmp_path / "run", "-r", tiny_recipe_file, "--max-steps", 3),
        *(*phases, "--set", "loop.usable_steps=50", "--set", "loop.score_every_steps=0"),
    )
    assert done.code == 0, done.err
    printed = " ".join(done.err.split())
    assert "Stopped before phase 2 began, which comes at step 10: about " in printed
    assert "Not usable yet: this recipe needs about 50 steps, here about " in printed
    assert "The same command with --for " in printed


@pytest.mark.parametrize(("steps", "usable", "good"), [(3, 2, 9), (3, 2, 3), (3, 4, 9), (3, 0, 0)])
def test_the_end_says_what_was_reached(
    steps: int, usable: int, good: int, moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    done = moksori(
        *("train", singers, "-o", tmp_path / "run", "-r", tiny_recipe_file, "--max-steps", steps),
        *(
            "--set",
            f"loop.usable_steps={usable}",
            "--set",
            f"loop.good_steps={good}",
            "--set",
            "loop.score_every_steps=0",
        ),
    )
    assert done.code == 0, done.err
    printed = " ".join(done.err.split())
    assert ("Past the 2 steps after which a voice of this recipe is usable" in printed) == (
        usable == 2 and good > steps
    )
    assert ("Past the 3 steps after which" in printed) == (good == steps)


def test_phase_2_is_switched_off_on_the_command_line(
    moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
) -> None:
    run = tmp_path / "run"
    done = moksori(
        *("train", singers, "-o", run, "-r", tiny_recipe_file, "--max-steps", 2),
        *("--set", "back_translation.start=never", "--set", "loop.score_every_steps=0"),
    )
    assert done.code == 0, done.err
    assert 'start = "never"' in (run / "recipe.toml").read_text(encoding="utf-8")
    assert not (run / "best.safetensors").exists()


class TestRefusals:
    def test_folders_that_cannot_be_trained_on(self, moksori: Moksori, tmp_path: Path, song: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder, code in ((tmp_path / "missing", 1), (song, 1), (tmp_path / "empty", 4), (tmp_path, 4)):
            done = moksori("train", folder, "-o", tmp_path / "run", "-r", "smoke", "--max-steps", 1)
            assert done.code == code, (folder, done.err)
            assert done.err.startswith("moksori: "), done.err

    def test_recipes_durations_and_devices(self, moksori: Moksori, singers: Path, tmp_path: Path) -> None:
        for option, words in (
            (["-r", "nonsense"], "smoke"),
            (["--for", "soon"], "is not a duration"),
            (["--device", "abacus"], "abacus"),
            (["--set", "loop.steps=3"], "max_steps"),
        ):
            done = moksori("train", singers, "-o", tmp_path / "run", "--max-steps", 1, *option)
            assert done.code == 1, done.err
            assert words in done.err
        assert not (tmp_path / "run").exists()

    def test_a_run_goes_on_with_its_own_data_and_recipe_only(
        self, moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
    ) -> None:
        run = tmp_path / "run"
        assert moksori("train", singers, "-o", run, "-r", tiny_recipe_file, "--max-steps", 2).code == 0
        done = moksori("train", singers, "-o", run, "-r", "smoke", "--max-steps", 2)
        assert done.code == 1
        assert "recipe" in done.err

    def test_more_takes_are_refused_before_anything_is_written(
        self, moksori: Moksori, singers: Path, tmp_path: Path, tiny_recipe_file: Path
    ) -> None:
        """A new singer, or more takes of one, were refused only after the run's data had been made anew."""
        run = tmp_path / "run"
        train = ["train", singers, "-o", run, "-r", tiny_recipe_file, "--max-steps", 2]
        assert moksori(*train).code == 0

        def there() -> dict[Path, tuple[int, int]]:
            return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in run.rglob("*") if path.is_file()}

        before = there()
        for more in (singers / "bass" / "new.wav", singers / "mina" / "new.wav"):
            write_song(more, 16_000)
            done = moksori(*train)
            assert done.code == 1
            assert "holds other recordings than those that" in done.err and "choose another folder" in done.err
            assert there() == before
            more.unlink()

    def test_prepare_explains_the_layout(self, moksori: Moksori, song: Path, tmp_path: Path) -> None:
        done = moksori("prepare", song.parent, "-o", tmp_path / "data")
        assert done.code == 4
        assert "folder" in done.err
