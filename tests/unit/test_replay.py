from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.replay import WAIT_MAX_S, Clock, Pace, ReplayPlan, replay
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, Ratings, User, time_order
from schemas.events import Event, ProfileChanged, Rated
from schemas.scale import Scale

START_MS = 1_000_000_000_000


@dataclass
class Recorder:
    """A clock, and a sender that notes when everything was sent by it."""

    now_s: float = 100.0
    sent: list[tuple[float, Event]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)
    checks: int = 0
    send_takes_s: float = 0.0
    loaded: list[int] = field(default_factory=list)

    def send(self, event: Event, *, is_loaded: bool = False) -> None:
        if is_loaded:
            self.loaded.append(len(self.sent))
        self.sent.append((self.now_s, event))
        self.now_s += self.send_takes_s

    def check(self) -> None:
        self.checks += 1

    def flush(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.flushes.append(len(self.sent))

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.sleep)

    def times(self) -> list[float]:
        return [at_s - 100.0 for at_s, _ in self.sent]

    def rated(self) -> list[Rated]:
        return [event for _, event in self.sent if isinstance(event, Rated)]


def dataset(times_ms: list[int], users: dict[int | str, User] | None = None) -> Dataset:
    count = len(times_ms)
    ratings = Ratings(
        user=np.arange(count, dtype=np.int64) % 3,
        item=np.arange(count, dtype=np.int64),
        rating=np.full(count, 3.5),
        rated_at_ms=np.array(times_ms, dtype=np.int64) + START_MS,
    )
    return Dataset("made", ratings, Scale(), users=users or {})


TIMES = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30)


@given(times=TIMES, rate=st.floats(0.5, 1000))
@settings(deadline=None)
def test_a_rate_spaces_events_evenly(times: list[int], rate: float) -> None:
    """Event k leaves k / rate seconds after the start, whatever the data's own times."""
    recorder = Recorder()
    replay(ReplayPlan(dataset(times), Pace(rate_per_s=rate)), recorder, clock=recorder.clock())
    assert recorder.times() == pytest.approx([position / rate for position in range(len(times))], abs=1e-6)


@given(times=TIMES, speedup=st.floats(0.5, 1e6))
@settings(deadline=None)
def test_a_speedup_keeps_the_rhythm_of_the_data(times: list[int], speedup: float) -> None:
    """Between two events passes the time between their ratings, divided by the speedup."""
    recorder = Recorder()
    replay(ReplayPlan(dataset(times), Pace(speedup=speedup)), recorder, clock=recorder.clock())
    expected = [(at - min(times)) / 1000 / speedup for at in sorted(times)]
    assert recorder.times() == pytest.approx(expected, abs=1e-6)


def test_without_a_pace_nothing_waits() -> None:
    """As fast as it goes means not one sleep."""
    recorder = Recorder()
    result = replay(ReplayPlan(dataset([0, 10**9])), recorder, clock=recorder.clock())
    assert (recorder.sleeps, result.seconds, result.events) == ([], 0.0, 2)


def test_a_stall_is_made_up_for() -> None:
    """Whoever is late sends at once and is on time again when the stall is over."""
    recorder = Recorder(send_takes_s=0.25)
    result = replay(ReplayPlan(dataset([0, 0, 0, 0]), Pace(rate_per_s=10)), recorder, clock=recorder.clock())
    assert recorder.sleeps == []
    assert result.seconds == 1.0


def test_long_waits_are_cut_and_look_at_failures() -> None:
    """No sleep is longer than the limit, and every one is preceded by a look at what the broker reported."""
    recorder = Recorder()
    replay(ReplayPlan(dataset([0, 10_000]), Pace(speedup=1)), recorder, clock=recorder.clock())
    assert max(recorder.sleeps) == WAIT_MAX_S
    assert recorder.checks >= len(recorder.sleeps) == 20


def test_events_are_the_data_in_time_order() -> None:
    """What leaves is `time_order` of the ratings, ids as the wire has them, at their own times."""
    data = synthetic_dataset(SyntheticPlan(users=20, items=30, mean_ratings_per_user=5))
    recorder = Recorder()
    result = replay(ReplayPlan(data, profiles=False, seed=4), recorder, clock=recorder.clock())
    sent = [(event.user_id, event.item_id, event.rating, event.rated_at) for event in recorder.rated()]
    expected = [(str(user), item, rating, at) for user, item, rating, at in time_order(data.ratings, 4).rows()]
    assert sent == expected
    assert (result.events, result.profiles, recorder.flushes) == (len(expected), 0, [len(expected)])


def test_the_plans_seed_orders_equal_times() -> None:
    """Another seed replays the same events in another order where their times do not decide."""

    def items(seed: int) -> list[int | str]:
        recorder = Recorder()
        replay(ReplayPlan(dataset([0] * 20), seed=seed), recorder, clock=recorder.clock())
        return [event.item_id for event in recorder.rated()]

    assert items(1) == items(1)
    assert items(1) != items(2)
    assert sorted(items(2), key=int) == list(range(20))


@given(events=st.integers(1, 40))
@settings(deadline=None)
def test_a_limit_takes_the_first_events_and_only_their_users(events: int) -> None:
    """A limit cuts the end off; only users who rate in what is left have their attributes sent, before all ratings."""
    data = synthetic_dataset(SyntheticPlan(users=8, items=10, mean_ratings_per_user=3))
    recorder = Recorder()
    result = replay(ReplayPlan(data, events=events), recorder, clock=recorder.clock())
    ratings = recorder.rated()
    profiles = [event for _, event in recorder.sent[: result.profiles] if isinstance(event, ProfileChanged)]
    assert len(ratings) == result.events == min(events, len(data.ratings))
    assert result.profiles == len(profiles) == len(recorder.sent) - len(ratings)
    assert {event.user_id for event in profiles} == {event.user_id for event in ratings}
    assert profiles[0].attributes == data.users[int(profiles[0].user_id)].attributes()


def test_users_of_whom_nothing_is_known_send_no_profile() -> None:
    """A user without attributes is no event."""
    recorder = Recorder()
    users: dict[int | str, User] = {0: User(0), 1: User(1, age=30)}
    result = replay(ReplayPlan(dataset([0, 1, 2], users)), recorder, clock=recorder.clock())
    assert result.profiles == 1


@given(times=TIMES, events=st.integers(1, 30))
@settings(deadline=None)
def test_a_load_sends_the_same_events_and_closes_every_user_at_the_end(times: list[int], events: int) -> None:
    """Each user's events keep their order; exactly the last of each is not loaded, and those come behind all others."""
    users: dict[int | str, User] = {0: User(0, age=30)}
    plan = ReplayPlan(dataset(times, users), events=events)
    stream, load = Recorder(), Recorder()
    replay(plan, stream, clock=stream.clock())
    replay(replace(plan, is_load=True), load, clock=load.clock())
    for user in {event.user_id for event in stream.rated()}:
        lives = [[event for _, event in each.sent if event.user_id == user] for each in (stream, load)]
        assert lives[0] == lives[1]
    assert load.loaded == list(range(len(load.loaded)))
    closing = [event.user_id for _, event in load.sent[len(load.loaded) :]]
    assert sorted(closing) == sorted({event.user_id for event in stream.rated()})


def test_progress_comes_every_so_many_events_and_at_the_end() -> None:
    """Progress rises to the total, which is reported only when everything has arrived."""
    recorder = Recorder()
    seen: list[tuple[int, int, int]] = []
    plan = ReplayPlan(dataset([0] * 7), progress_every=3)
    replay(plan, recorder, lambda sent, total: seen.append((sent, total, len(recorder.flushes))), recorder.clock())
    assert seen == [(3, 7, 0), (6, 7, 0), (7, 7, 1)]


@pytest.mark.parametrize("wrong", [{"rate_per_s": 0}, {"speedup": -1}, {"speedup": float("inf")}])
def test_a_pace_is_a_number_above_zero(wrong: dict[str, float]) -> None:
    """No pace stands still, runs backwards or never ends."""
    with pytest.raises(ValueError, match="above 0"):
        Pace(**wrong)


def test_what_contradicts_itself_is_refused() -> None:
    """Two paces at once, and replays of nothing, say so before anything is sent."""
    with pytest.raises(ValueError, match="not both"):
        Pace(rate_per_s=1, speedup=1)
    with pytest.raises(ValueError, match="no pace"):
        ReplayPlan(dataset([0]), Pace(rate_per_s=1), is_load=True)
    with pytest.raises(ValueError, match="at least one event"):
        ReplayPlan(dataset([0]), events=0)
