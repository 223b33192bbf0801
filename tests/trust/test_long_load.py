"""Long and crowded work: nothing grows, nothing is lost, nobody disturbs anybody. Minutes each, so they are slow."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests_of_trust import RATE, sing

from moksori import checkpoint
from moksori.training.logging import journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]

SINGERS = Path(__file__).parents[2] / "demo" / "singers"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

MANY = """
import gc, json, os, sys
from pathlib import Path
import torch
import moksori

torch.set_num_threads(1)
songs, out, n_songs = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), int(sys.argv[3])
voice = moksori.load()

def held():
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    kilobytes, handles = int(status["VmRSS"].split()[0]), len(os.listdir("/proc/self/fd"))
    return {"memory": kilobytes, "threads": int(status["Threads"]), "handles": handles}

for number in range(n_songs):
    result = out / f"{number}.wav"
    voice.convert_file(songs[number % len(songs)], result, singer=voice.singers[number % len(voice.singers)])
    assert result.stat().st_size > 1000
    result.unlink()
    if number in (n_songs // 5, n_songs - 1):
        print(json.dumps(held()))
"""


def test_five_hundred_songs_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    songs, out, n_songs = tmp_path / "songs", tmp_path / "out", 500
    songs.mkdir()
    out.mkdir()
    for number in range(20):  # no two of a length
        soundfile.write(songs / f"{number}.wav", sing(0.5 + 0.07 * number, 150.0 + 10 * number), RATE)
    done = subprocess.run(
        [sys.executable, "-c", MANY, songs, out, str(n_songs)],
        env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    early, late = map(json.loads, done.stdout.splitlines())
    assert (late["threads"], late["handles"]) == (early["threads"], early["handles"])
    assert late["memory"] - early["memory"] < 20_000, (early, late)  # kilobytes; four hundred songs later


def _train(folder: Path, max_steps: int) -> subprocess.Popen[bytes]:
    command = ["train", SINGERS, "-r", "smoke", "-o", folder, "--max-steps", max_steps, "--set", "loop.max_steps=2000"]
    return subprocess.Popen(
        [sys.executable, "-m", "moksori", *map(str, command)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _step_of(folder: Path) -> int:
    """The last step that a run's journal tells."""
    path = folder / "journal.jsonl"
    steps = [entry["step"] for entry in journal.read(path) if "step" in entry] if path.exists() else []
    return steps[-1] if steps else 0


def _weights(folder: Path) -> str:
    """The hash of a run's last weights."""
    model, provenance = checkpoint.read_model(folder / "model.safetensors")
    found = hashlib.sha256(str(provenance.steps).encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def test_two_thousand_steps_with_twenty_kills_end_where_an_undisturbed_run_ends(
    tmp_path: Path, record_property: Any
) -> None:
    assert _train(tmp_path / "whole", 2000).wait() == 0
    moments = sorted(random.Random(0).sample(range(60, 1990), 20))  # saves are every 50 steps
    for step in moments:
        process = _train(tmp_path / "killed", 2000)
        while _step_of(tmp_path / "killed") < step and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _train(tmp_path / "killed", 2000).wait() == 0
    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")
    record_property("faults_survived", len(moments))


def test_three_that_convert_and_one_that_trains_do_not_disturb_each_other(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, sing(20.0), RATE)

    def converting(out: Path, singer: str) -> subprocess.Popen[bytes]:
        command = ["convert", song, "-s", singer, "-o", out]
        return subprocess.Popen(
            [sys.executable, "-m", "moksori", *map(str, command)],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    singers = ("kumi", "scottpoid", "dorodoro")
    for singer in singers:
        assert converting(tmp_path / f"alone-{singer}.wav", singer).wait() == 0
    assert _train(tmp_path / "alone", 150).wait() == 0
    training = _train(tmp_path / "beside", 150)
    rounds = 0
    while training.poll() is None or not rounds:
        together = [converting(tmp_path / f"{rounds}-{singer}.wav", singer) for singer in singers]
        assert [process.wait() for process in together] == [0, 0, 0]
        rounds += 1
        time.sleep(0.1)
    assert training.wait() == 0
    assert _weights(tmp_path / "beside") == _weights(tmp_path / "alone")
    for singer in singers:
        alone, rate = soundfile.read(tmp_path / f"alone-{singer}.wav")
        for number in range(rounds):
            beside, _ = soundfile.read(tmp_path / f"{number}-{singer}.wav")
            np.testing.assert_array_equal(beside, alone)
        assert rate == RATE
