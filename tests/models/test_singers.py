from __future__ import annotations

import pytest
import torch

from moksori.errors import UserError
from moksori.models.singers import SingerTable

NAMES = ["ana", "kumi", "лев"]


@pytest.fixture
def table() -> SingerTable:
    torch.manual_seed(0)
    return SingerTable(NAMES, 5)


def test_names_number_the_rows_in_order(table: SingerTable) -> None:
    assert [table.index(name) for name in NAMES] == [0, 1, 2]
    assert table.names == tuple(NAMES)


def test_a_number_selects_its_row(table: SingerTable) -> None:
    assert torch.equal(table(torch.tensor([2, 0])), table.table.weight[[2, 0]])


@pytest.mark.parametrize("share", [1.0, 0.3, 7, 1e-320, 1e300])
@pytest.mark.parametrize("name", NAMES)
def test_a_mix_of_one_is_that_singer_bit_for_bit(table: SingerTable, name: str, share: float) -> None:
    # A share of 1e300 became infinite in single precision.
    assert torch.equal(table.mix({name: share}), table.table.weight[table.index(name)])


def test_a_vector_is_that_of_a_name_or_of_a_mix_and_of_nothing_else(table: SingerTable) -> None:
    first, second = table.names[:2]
    assert torch.equal(table.vector(first), table.table.weight[0])
    assert torch.equal(table.vector({first: 1.0, second: 3.0}), table.mix({first: 1.0, second: 3.0}))
    assert not table.vector(first).requires_grad
    with pytest.raises(TypeError, match="singer is 7; expected a name"):
        table.vector(7)  # type: ignore[arg-type]


def test_a_mix_is_linear_in_its_shares(table: SingerTable) -> None:
    ana, kumi, lev = table.table.weight
    torch.testing.assert_close(table.mix({"ana": 0.25, "kumi": 0.75}), 0.25 * ana + 0.75 * kumi)
    torch.testing.assert_close(table.mix({"ana": 1, "kumi": 1, "лев": 2}), 0.25 * ana + 0.25 * kumi + 0.5 * lev)


def test_shares_are_scaled_to_sum_to_one_in_any_order(table: SingerTable) -> None:
    mixed = table.mix({"ana": 0.2, "kumi": 0.6})
    torch.testing.assert_close(mixed, table.mix({"kumi": 3, "ana": 1}))


def test_a_mix_works_in_double_precision(table: SingerTable) -> None:
    # The shares were single whatever the table was, and the product failed.
    assert table.double().mix({"ana": 1, "kumi": 2}).dtype == torch.float64


def test_gradients_of_a_mix_reach_the_rows_by_their_shares(table: SingerTable) -> None:
    table.mix({"ana": 1, "лев": 3}).sum().backward()
    assert table.table.weight.grad is not None
    assert table.table.weight.grad[:, 0].tolist() == [0.25, 0, 0.75]


def test_an_unknown_singer_is_told_who_there_is(table: SingerTable) -> None:
    with pytest.raises(UserError, match="no singer named 'eve'; it knows ana, kumi, лев"):
        table.index("eve")
    with pytest.raises(UserError, match="it knows ana, kumi, лев"):
        table.mix({"ana": 0.5, "eve": 0.5})


@pytest.mark.parametrize("share", [0, -0.5, float("nan"), float("inf")])
def test_a_share_that_is_no_positive_number_is_refused(table: SingerTable, share: float) -> None:
    with pytest.raises(UserError, match=r"positive numbers.*kumi"):
        table.mix({"ana": 0.5, "kumi": share})


def test_a_mix_of_nobody_is_refused(table: SingerTable) -> None:
    with pytest.raises(UserError, match="not nothing"):
        table.mix({})


@pytest.mark.parametrize("names", [[], ["ana", "ana"]])
def test_singers_must_be_given_each_once(names: list[str]) -> None:
    with pytest.raises(ValueError, match="each once"):
        SingerTable(names, 4)


def test_a_virtual_singer_lies_between_two(table: SingerTable) -> None:
    first, second, share = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.0, 0.25])
    ana, _, lev = table.table.weight
    mixed = table.between(first, second, share)
    assert torch.equal(mixed[0], ana)
    assert torch.equal(mixed[1], lev)
    torch.testing.assert_close(mixed[2], 0.25 * lev + 0.75 * ana)


def test_a_table_without_columns_keeps_the_names(recwarn: pytest.WarningsRecorder) -> None:
    table = SingerTable(["a", "b"], 0)
    assert table(torch.tensor([1, 0])).shape == (2, 0)
    assert table.index("b") == 1
    assert not recwarn.list
