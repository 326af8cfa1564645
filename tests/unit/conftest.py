"""What tests of several modules need.

Property tests judge values, never how fast a busy machine computes them.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
