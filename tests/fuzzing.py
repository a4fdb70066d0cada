"""How long the fuzzers search: `CHARRNN_FUZZ=100 make test` draws a hundred times as many examples
as CI does, and other ones in each run.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("CHARRNN_FUZZ", "1"))


def fuzzed(examples: int) -> settings:
    """The settings of a fuzzer that draws `examples` in CI, the same ones each time."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
