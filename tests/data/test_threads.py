import threading
import time

import pytest

from moksori.data.threads import map_in_order


def test_results_keep_the_order_of_the_items() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i

    assert list(map_in_order(slow_first, range(20), workers=4)) == list(range(20))


def test_work_runs_on_several_threads() -> None:
    both = threading.Barrier(2, timeout=10)
    list(map_in_order(lambda _: both.wait(), range(2), workers=2))  # a single thread would wait in vain


def test_an_exception_drops_what_has_not_begun() -> None:
    begun = []

    def work(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise RuntimeError("first")
        time.sleep(0.01)

    with pytest.raises(RuntimeError, match="first"):
        list(map_in_order(work, range(500), workers=1))
    assert len(begun) < 500


def test_a_consumer_that_stops_drops_what_has_not_begun() -> None:
    begun = []

    def work(i: int) -> None:
        begun.append(i)
        time.sleep(0.005)

    results = map_in_order(work, range(500), workers=1)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 500
