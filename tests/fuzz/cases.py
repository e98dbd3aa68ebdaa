"""How many cases are tried, and which.

`pytest tests/fuzz` tries some fifty, always the same. The long version tries as many as it is told, others each time:

    STUDY_FUZZ=10000 pytest tests/fuzz -n 0

A case that fails is printed as small as it can be made, with a `@reproduce_failure` line that brings it back.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

USUAL = 320
"""Cases of all properties together, of which each says how many it takes."""
WANTED = int(os.environ.get("STUDY_FUZZ", USUAL // 6))


def cases(share: int) -> Callable[[Any], Any]:
    """Try a property on `share` cases of the usual number, or on the same share of as many as are wanted."""
    return settings(
        max_examples=max(1, share * WANTED // USUAL),
        derandomize=WANTED <= USUAL,
        database=None,
        print_blob=True,
        deadline=None,  # a busy machine takes its time; what hangs is ended by `tests.fuzz.calling`
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
