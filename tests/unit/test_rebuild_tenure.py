"""Whether a worker's store is still the one to use."""

from collections.abc import Callable

import pytest

from consumers.exit_codes import ExitCode
from consumers.failures import exit_code_of
from consumers.membership import Membership
from consumers.stores.generations import Generation
from consumers.tenure import CHECK_INTERVAL_S, StoreSupersededError, Tenure
from recommender.memory_store import MemoryStore
from recommender.store import StoreSettings, StoreUnavailableError

OPENED = Generation("users", 1)


class Clock:
    """A clock that stands still, and a lookup that counts and answers what it is told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0
        self.current: Callable[[], Generation] = lambda: OPENED

    def tenure(self) -> Tenure:
        return Tenure(OPENED, self.look, lambda: self.now_s)

    def look(self) -> Generation:
        self.asked += 1
        return self.current()


def away() -> Generation:
    raise StoreUnavailableError("away")


@pytest.mark.parametrize("current", [Generation("users.epoch-2.0", 2), Generation("users", 3)])
def test_another_name_or_epoch_ends_it(current: Generation) -> None:
    """Law: a store that was replaced is left, also when it came back under a higher epoch; the exit code is its own."""
    clock = Clock()
    tenure = clock.tenure()
    tenure.check()
    clock.current = lambda: current
    with pytest.raises(StoreSupersededError, match="tastestream rebuild") as caught:
        tenure.check()
    assert exit_code_of(caught.value) is ExitCode.SUPERSEDED


def test_steps_ask_now_and_then() -> None:
    """Law: a step asks at most once per interval, counted from whenever it was asked last."""
    clock = Clock()
    tenure = clock.tenure()
    for _ in range(10):
        tenure.check_now_and_then()
    assert clock.asked == 0
    clock.now_s += CHECK_INTERVAL_S
    for _ in range(10):
        tenure.check_now_and_then()
    assert clock.asked == 1
    clock.now_s += CHECK_INTERVAL_S
    clock.current = lambda: Generation("other", 2)
    with pytest.raises(StoreSupersededError):
        tenure.check_now_and_then()


def test_a_store_that_is_away_is_asked_the_next_time() -> None:
    """Law: between assignments no answer changes nothing; at an assignment it must be known."""
    clock = Clock()
    tenure = clock.tenure()
    clock.current = away
    clock.now_s += CHECK_INTERVAL_S
    tenure.check_now_and_then()
    assert clock.asked == 1
    with pytest.raises(StoreUnavailableError):
        tenure.check()


def test_every_assignment_asks_before_anything_else() -> None:
    """Law: partitions that come to a worker whose store was replaced end it, before it says where to begin."""
    clock = Clock()
    clock.current = lambda: Generation("other", 2)
    store = MemoryStore(StoreSettings("integer", 0.5, 5.0, "rule"))
    membership = Membership(store, 1.0, lambda: None, clock.tenure().check)
    with pytest.raises(StoreSupersededError):
        membership.markers(["t:0"])
    assert clock.asked == 1
