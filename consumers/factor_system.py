"""Neighbours by factors as a system to evaluate: factors made anew now and then, of what was rated until then.

Factors of all ratings would know the very ratings that are to be foretold. So they are made as often as the baselines'
models are, as `tastestream factors train` makes them, and the service goes on over a store that is filled with them, as
after a rebuild.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from consumers.factor_training import trained_factors
from consumers.service_system import ServiceSystem
from recommender.baselines import retrained_every
from recommender.evaluation import Assessment, RatedEvent
from recommender.factors import Factors
from recommender.vector import ValueRule

OpenSystem = Callable[[Factors | None], AbstractContextManager[ServiceSystem]]
"""Opens the service over an empty store, with factors or, before there are any, without."""
_SIDE_MIN = 2
"""Users and items that factors need."""


@contextmanager
def factor_system(open_system: OpenSystem, rule: ValueRule, events: int) -> Iterator["FactorSystem"]:
    """The service with factors that are made anew as `events` go by; `rule`: of what users are compared by.

    Raises:
        StoreError: the store cannot be made.
    """
    system = FactorSystem(open_system, rule, retrained_every(events))
    try:
        yield system
    finally:
        system.close()


class FactorSystem:
    """A `System` of `recommender.evaluation` that is another service after each training."""

    def __init__(self, open_system: OpenSystem, rule: ValueRule, every_events: int) -> None:
        self._open_system = open_system
        self._rule = rule
        self._every_events = every_events
        self._learnt = 0
        self._held = ExitStack()
        self.service = self._held.enter_context(open_system(None))

    def close(self) -> None:
        """Let the store go."""
        self._held.close()

    def assess(self, user_id: str, item: int) -> Assessment:
        """See `System.assess`."""
        return self.service.assess(user_id, item)

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`.

        Raises:
            FactorError: scipy is missing.
        """
        self.service.learn(events)
        before, self._learnt = self._learnt, self._learnt + len(events)
        if self._learnt // self._every_events > before // self._every_events:
            self._train()

    def _train(self) -> None:
        histories = [state.history for states in self.service.stored() for state in states if len(state.history)]
        if min(len(histories), len({item for one in histories for item in one.items.tolist()})) < _SIDE_MIN:
            return
        with ExitStack() as opened:
            successor = opened.enter_context(self._open_system(trained_factors(histories, self._rule)))
            successor.take_over(self.service)
            self._held.close()
            self._held, self.service = opened.pop_all(), successor
