"""The same stream through river's streaming matrix factorisation and through ours: events per second, and how good.

The demonstration's ratings in time order, test-then-learn by the protocol and the measures of `tastestream evaluate`.
Every system learns every event, one at a time. A list is asked of all of them for the same events, drawn by chance,
because ranking all items one by one takes river so long; an event costs what learning one takes, and what ranking all
items takes, each on average. Times are CPU times of this process.

- *ours*: `ServiceSystem`, which `evaluate` runs: state protocol, Qdrant Edge, caches and the default ranking. Learning
  writes the user's state and vector to the engine, ranking asks it for neighbours.
- *river*: `reco.BiasedMF` and `reco.FunkMF`, ten factors and the learning rates of their documentation, in memory; its
  `rank` over all items that anybody rated and this user did not. Its learning alone is shown, too: what a matrix
  product in place of `rank` could come down to at best.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from river import optim, reco

from consumers.evaluation import EvaluationPlan
from consumers.service_system import service_system
from consumers.settings import Settings
from producers.datasets import bundled_dataset
from recommender.evaluation import LIST_LENGTH, Assessment, RatedEvent, System, _measure
from recommender.measures import Report
from tests.bench.frame import Bench, Requirement, Spread, spread

RATIO_MIN = 1.0
FACTORS = 10
RATE = 0.025
LATENT_SIGMA = 0.1
SEED = 71
EVENTS, QUICK_EVENTS = None, 20_000
ASKED_SHARE, QUICK_ASKED_SHARE = 0.1, 0.05
PARTS = 5
"""Stretches of the stream, each with a ratio of its own."""


class River:
    """One of river's models as a `System`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._items: set[int] = set()
        self._rated: defaultdict[str, set[int]] = defaultdict(set)

    def assess(self, user_id: str, item: int) -> Assessment:
        """See `System.assess`."""
        predicted = self._model.predict_one(user_id, item)
        ranked = self._model.rank(user_id, self._items - self._rated[user_id])
        return Assessment(ranked[:LIST_LENGTH], float(predicted))

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        for event in events:
            self._model.learn_one(event.user_id, event.item, event.rating)
            self._items.add(event.item)
            self._rated[event.user_id].add(event.item)


@dataclass(slots=True)
class Contender:
    """A system, the CPU seconds that each of its calls took, and how good its lists were."""

    system: System
    learning_s: list[float] = field(default_factory=list)
    asking_s: list[float] = field(default_factory=list)
    report: Report = field(default_factory=Report)

    def ask(self, event: RatedEvent, num_ratings: int) -> None:
        """Ask for the list that the event's user would get, and measure it."""
        begun = time.process_time()
        found = self.system.assess(event.user_id, event.item)
        self.asking_s.append(time.process_time() - begun)
        _measure(self.report, event, num_ratings, found)

    def learn(self, event: RatedEvent) -> None:
        """Learn one event."""
        begun = time.process_time()
        self.system.learn([event])
        self.learning_s.append(time.process_time() - begun)

    def per_s(self, part: int) -> float:
        """Events per second, learnt and ranked, in this stretch of the stream."""
        return 1 / (_mean(self.learning_s, part) + _mean(self.asking_s, part))

    def learnt_per_s(self, part: int) -> float:
        """Events per second, learnt alone."""
        return 1 / _mean(self.learning_s, part)


def main() -> int:
    """Measure all of them event by event, and compare."""
    bench = Bench.from_command_line("peer_river", "River's streaming matrix factorisation, beside ours.")
    plan = EvaluationPlan(bundled_dataset(), Settings(), QUICK_EVENTS if bench.quick else EVENTS)
    share = QUICK_ASKED_SHARE if bench.quick else ASKED_SHARE
    with ExitStack() as stack:
        ours = stack.enter_context(service_system(plan.own_settings(), plan.rules(), plan.store))
        contenders = {"ours": Contender(ours), "biased_mf": Contender(_biased_mf()), "funk_mf": Contender(_funk_mf())}
        _run(plan, share, contenders, bench.say)
    _report(bench, contenders)
    return bench.finish()


def _biased_mf() -> River:
    rate = optim.SGD(RATE)
    model = reco.BiasedMF(
        n_factors=FACTORS, bias_optimizer=rate, latent_optimizer=rate, latent_initializer=_latents(), seed=SEED
    )
    return River(model)


def _funk_mf() -> River:
    return River(reco.FunkMF(n_factors=FACTORS, optimizer=optim.SGD(RATE), initializer=_latents(), seed=SEED))


def _latents() -> Any:
    return optim.initializers.Normal(mu=0.0, sigma=LATENT_SIGMA, seed=SEED)


def _run(plan: EvaluationPlan, share: float, contenders: dict[str, Contender], say: Callable[[str], None]) -> None:
    ratings, stars = plan.ratings(), plan.dataset.scale.five_star_affine()
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    rated: defaultdict[str, set[int]] = defaultdict(set)
    for number, (user, item, rating, at_ms) in enumerate(ratings.rows()):
        event = RatedEvent(str(user), int(item), rating, rating * stars[0] + stars[1], at_ms)
        if number % (len(ratings) // 10) == 0:
            say(f"{number:,} of {len(ratings):,} events")
        known = rated[event.user_id]
        is_asked = chance.random() < share and known and event.item not in known
        for contender in contenders.values():
            if is_asked:
                contender.ask(event, len(known))
            contender.learn(event)
        known.add(event.item)


def _parts(seconds: Sequence[float]) -> Iterator[Sequence[float]]:
    ends = [len(seconds) * part // PARTS for part in range(PARTS + 1)]
    return (seconds[begin:end] for begin, end in pairwise(ends))


def _mean(seconds: Sequence[float], part: int) -> float:
    stretch = next(islice(_parts(seconds), part, None))
    return sum(stretch) / len(stretch)


def _report(bench: Bench, contenders: dict[str, Contender]) -> None:
    ours = contenders["ours"]
    bench.figure("events learnt by each", "events", f"{len(ours.learning_s):,}")
    bench.figure("lists asked of each", "asked", f"{len(ours.asking_s):,}")
    for name, each in contenders.items():
        bench.figure(f"{name}: events/s", f"{name}_events_per_s", _spread(each.per_s), "learnt and ranked")
        bench.figure(f"{name}: learning alone", f"{name}_learnt_per_s", _spread(each.learnt_per_s), "events/s")
        for label, rate in (("warm", each.report.warm), ("liked", each.report.liked), ("cold", each.report.cold)):
            said = f"± {rate.hit.standard_error:.4f}, {rate.events:,} events"
            bench.figure(f"{name}: HR@10 {label}", f"{name}_hr10_{label}", rate.rate, said)
        bench.figure(f"{name}: MAE", f"{name}_mae", each.report.errors.absolute.mean or 0.0, "stars")
    peers = {name: each for name, each in contenders.items() if each is not ours}
    ratios = {
        name: spread([ours.per_s(part) / each.per_s(part) for part in range(PARTS)]) for name, each in peers.items()
    }
    for name, ratio in ratios.items():
        bench.figure(f"ours ÷ {name}, events/s", f"{name}_ratio", ratio)
        lead = ours.report.warm.rate - peers[name].report.warm.rate
        bench.requirements.append(Requirement(f"warm HR@10, ours − {name}", lead, 0.0))
    least = min(ratio.median for ratio in ratios.values())
    bench.headline("river_ratio", least)
    bench.requirements.append(Requirement("events/s, ours ÷ the faster of river's", least, RATIO_MIN))


def _spread(of_part: Callable[[int], float]) -> Spread:
    return spread([of_part(part) for part in range(PARTS)])


if __name__ == "__main__":
    sys.exit(main())
