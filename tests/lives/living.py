"""Running random lives: a few in each test run, for minutes when asked for (``make lives``)."""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

#: For how long to go on with other lives; 0: as many as the test asks for.
SECONDS = float(os.environ.get("GRACEFUL_LIVES_SECONDS", "0"))
#: How long such a test may take, in seconds.
PATIENCE = SECONDS + 300


def live(where: type[RuleBasedStateMachine], lives: int, steps: int) -> None:
    """Run random lives; with ``GRACEFUL_LIVES_SECONDS``, so many again and again.

    Args:
        where: They are lived there.
        lives: How many.
        steps: How many steps each has at most.
    """
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    ends_at, lived = time.monotonic() + SECONDS, 0
    while True:
        run_state_machine_as_test(where, settings=chosen)
        lived += lives
        if time.monotonic() >= ends_at:
            print(f"{lived} lives")
            return
