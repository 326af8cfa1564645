"""What tests of several modules need.

Property tests judge values, never how fast a busy machine computes them.
"""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Logging without handlers, to be set up by what is tested, and afterwards as it was.

    Every command sets logging up for its process, and closes the handlers it finds; pytest still needs its own.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers = []
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level
