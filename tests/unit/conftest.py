"""What tests of several modules need.

Property tests judge values, never how fast a busy machine computes them.
"""

import math
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings

from recommender import explanation
from recommender.explanation import apportioned

settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture
def what_is_rounded_added_up_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law, of every explanation: rounding has nothing to mend but roundings."""

    def watched(amounts: Sequence[float], total: int) -> list[int]:
        assert not amounts or abs(math.fsum(amounts) - total) < 1.5
        return apportioned(amounts, total)

    monkeypatch.setattr(explanation, "apportioned", watched)
