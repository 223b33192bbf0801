"""Ray's actors hold to the contract of pools: nothing lost, nothing twice, whoever dies."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from workshop import Nobody, Squares

from moksori import surroundings
from moksori.errors import UserError
from moksori.workers import actors
from moksori.workers.actors import ActorPool
from moksori.workers.pool import ATTEMPTS, Lost

needs_ray = pytest.mark.skipif(not actors.is_installed(), reason="Ray is not installed: pip install 'moksori[ray]'")


@pytest.mark.kind("A")
@pytest.mark.parametrize("address", [actors.LOCAL, "host:6379"])
def test_workers_do_not_import_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Ray puts the folder that it is started in before all others on its workers' path."""
    started_in = []

    def init(**given: object) -> None:
        started_in.append(Path.cwd())

    ray = types.SimpleNamespace(init=init, cluster_resources=lambda: {"CPU": 1}, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(actors, "is_installed", lambda: True)
    monkeypatch.chdir(tmp_path)
    with actors.connected(address):
        assert Path.cwd() == tmp_path
    assert started_in == [surroundings.compiled_folder().resolve()]


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "is_installed", lambda: False)
    with (
        pytest.raises(UserError, match=r"--ray auto: Ray is not installed; `pip install 'moksori\[ray\]'`.*--ray off"),
        actors.connected("auto"),
    ):
        pass


@pytest.fixture(scope="module")
def ray_here() -> Iterator[ActorPool]:
    """Two workers on this machine; Ray takes seconds to start, so all tests share it."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    try:
        with actors.connected("local", 2) as pool:
            yield pool
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.mark.slow
@needs_ray
class TestOnRay:
    def test_every_task_is_done_once_by_workers_that_are_made_once(self, ray_here: ActorPool, tmp_path: Path) -> None:
        kit = Squares(tmp_path)
        done = dict(ray_here.each(kit, range(40)))
        assert {number: found[0] for number, found in done.items()} == {n: n * n for n in range(40)}
        assert [kit.n_times(n) for n in range(40)] == [1] * 40
        assert kit.n_made() == 2 and os.getpid() not in {found[1] for found in done.values()}

    def test_a_deadly_task_is_given_up_and_the_others_are_done_once(self, ray_here: ActorPool, tmp_path: Path) -> None:
        kit = Squares(tmp_path, deadly=3, deadly_once=5)
        done = dict(ray_here.each(kit, range(12)))
        assert done.pop(3) == Lost(f"its worker died, {ATTEMPTS} times")
        assert {number: found[0] for number, found in done.items()} == {n: n * n for n in range(12) if n != 3}
        assert [kit.n_times(n) for n in range(12)] == [1, 1, 1, ATTEMPTS, 1, 2, *[1] * 6]

    def test_what_fails_once_is_tried_again_and_what_always_fails_is_lost(
        self, ray_here: ActorPool, tmp_path: Path
    ) -> None:
        kit = Squares(tmp_path, wrong=2, wrong_once=3)
        done = dict(ray_here.each(kit, range(5)))
        assert done[2] == Lost(f"OSError: the store is out of reach, {ATTEMPTS} times")
        assert done[3][0] == 9
        assert [kit.n_times(n) for n in range(5)] == [1, 1, ATTEMPTS, 2, 1]

    def test_a_worker_that_is_killed_is_replaced_and_its_task_done_by_another(
        self, ray_here: ActorPool, tmp_path: Path
    ) -> None:
        kit, done, killed = Squares(tmp_path, slow=0.05), {}, 0
        for number, found in ray_here.each(kit, range(30)):
            assert number not in done
            done[number] = found
            if len(done) == 5:
                killed = found[1]
                os.kill(killed, signal.SIGKILL)
        assert {number: found[0] for number, found in done.items()} == {n: n * n for n in range(30)}
        assert killed and sum(kit.n_times(n) for n in range(30)) in (30, 31)  # what it had begun, if anything

    def test_an_error_of_the_users_ends_everything_at_the_first_attempt(
        self, ray_here: ActorPool, tmp_path: Path
    ) -> None:
        kit = Squares(tmp_path, refused=1)
        with pytest.raises(UserError, match="the store wants a password"):
            list(ray_here.each(kit, range(3)))
        assert kit.n_times(1) == 1

    def test_a_kit_that_makes_no_worker_ends_everything(self, ray_here: ActorPool) -> None:
        with pytest.raises(UserError, match="this model is damaged"):
            list(ray_here.each(Nobody(), range(3)))
