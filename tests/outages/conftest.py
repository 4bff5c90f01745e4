"""A pipeline of real processes for each test, as the integration tests have it."""

from tests.integration.conftest import broker
from tests.integration.pipeline.conftest import pipeline, variables

__all__ = ["broker", "pipeline", "variables"]
