"""What phases and plans have in common."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from moksori.data.batches import Batch, Batches
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.phases.base import DrawnPhase, SinglePhase
from moksori.training.phases.predict import Prediction
from moksori.training.phases.reconstruct import Reconstruction


class Drawn(DrawnPhase):
    name = "drawn"


def test_a_drawn_phase_learns_from_the_batches_of_its_steps() -> None:
    class Counted:
        def batch(self, step: int, attempt: int) -> Batch:
            return Batch(torch.tensor([[step]]), torch.tensor([attempt]))

    batch = Drawn(cast(Batches, Counted())).batch(7, 2)
    assert (batch.clips.item(), batch.singer.item()) == (7, 2)


@pytest.mark.parametrize("phase_class", [Reconstruction, CriticisedReconstruction, Prediction])
def test_a_drawn_phase_keeps_nothing_and_takes_up_nothing(phase_class: type[DrawnPhase]) -> None:
    # The phase with a critic once swallowed whatever it was given.
    phase = phase_class.__new__(phase_class)
    assert phase.tensors() == {}
    phase.restore({})
    with pytest.raises(ValueError, match=rf"{phase.name} keeps nothing between steps, but was given \['pool'\]"):
        phase.restore({"pool": torch.zeros(1)})


def test_a_single_phase_is_the_phase_of_every_step() -> None:
    phase = Drawn(cast(Batches, None))
    plan = SinglePhase(phase)  # type: ignore[arg-type]  # it is never asked for updates
    assert plan.phase_at(0) is plan.phase_at(10**6) is phase
    assert plan.phases() == [phase]
    assert plan.has_begun_the_last_phase(0)
    assert not plan.spend(0, 1.0)
    assert not plan.validate(0, {"loss": 1.0})
