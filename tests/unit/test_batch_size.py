"""The size of batches: as few records as there are, as many as a backlog allows."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.batch_size import BatchLimits, BatchSize

LIMITS = BatchLimits(first_records=100, max_records=10_000, target_s=8.0)


class Backlog:
    """So many records, of which each costs so long."""

    def __init__(self, limits: BatchLimits = LIMITS) -> None:
        self.now = 0.0
        self.size = BatchSize(limits, lambda: self.now)

    def step(self, waiting: int, record_s: float) -> int:
        """What one step takes of what waits."""
        taken = min(waiting, self.size.begin())
        self.size.took(taken)
        self.now += taken * record_s
        return taken


def test_a_backlog_is_taken_in_growing_batches_and_the_next_trickle_in_small_ones() -> None:
    """Law: twice as many each time up to the limit; one batch that is not full ends the backlog."""
    backlog = Backlog()
    assert [backlog.step(10**6, 1e-6) for _ in range(9)] == [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
    assert backlog.step(3, 1e-6) == 3
    assert backlog.step(10**6, 1e-6) == 100


def test_without_a_backlog_the_limit_stays() -> None:
    """Law: batches that are not full never raise the limit, whatever they cost."""
    backlog = Backlog()
    for waiting in (0, 1, 99, 50, 0, 99):
        backlog.step(waiting, 0.1)
        assert backlog.size.records == 100


@given(st.floats(1e-6, 1.0), st.integers(1, 30))
def test_steps_in_a_backlog_come_to_last_as_long_as_wanted(record_s: float, steps: int) -> None:
    """Law: no step but a first one lasts twice the target; in the end they last as long as wanted."""
    backlog = Backlog()
    for _ in range(steps):
        taken = backlog.step(10**6, record_s)
        assert taken * record_s <= max(2 * LIMITS.target_s, 100 * record_s)
    for _ in range(10):
        taken = backlog.step(10**6, record_s)
    assert taken in {100, 10_000} or LIMITS.target_s * 0.98 <= taken * record_s <= LIMITS.target_s


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 1.0)), max_size=30))
def test_the_limit_lies_between_the_first_and_the_greatest(steps: list[tuple[int, float]]) -> None:
    """Law: whatever comes and whatever it costs; where the greatest is below the first it is the only one."""
    backlog, small = Backlog(), Backlog(BatchLimits(first_records=100, max_records=7))
    for waiting, record_s in steps:
        assert backlog.step(waiting, record_s) <= 10_000
        assert 100 <= backlog.size.records <= 10_000
        small.step(waiting, record_s)
        assert small.size.records == 7
