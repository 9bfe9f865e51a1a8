"""Cold signals, one after the other: no task is left without a line."""

from __future__ import annotations

from signal import SIGQUIT, SIGTERM

import pytest

from tests.acceptance.cutting import Cut

pytestmark = pytest.mark.slow

#: What the first signal leaves is far longer than what the next ones may take.
SETTINGS = {
    "worker_soft_shutdown_timeout": 60.0,
    "graceful_grace_period": 60.0,
    "graceful_kill_margin": 30.0,
}
QUICKLY = 15


@pytest.mark.core
@pytest.mark.brokers("rabbitmq")
def test_a_second_cold_signal_cuts_at_once(cut: Cut) -> None:
    cut.scene.settings.update(SETTINGS)
    worker, result = cut.scene.worker(), cut.send("late", "late")
    cut.noted("late begins")
    waiting = cut.scene.worker()
    worker.signal(SIGQUIT)
    worker.wait_log(r"Stopping \(SIGQUIT\)")
    worker.signal(SIGQUIT)
    cut.noted("late begins", times=2, timeout=QUICKLY)
    assert worker.wait(QUICKLY) == 0
    cut.enough("late")
    assert result.get(timeout=20) == "late"
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0


def test_the_third_cold_signal_leaves_no_task_without_a_line(cut: Cut) -> None:
    cut.scene.settings.update(SETTINGS)
    worker = cut.scene.worker()
    result, lost = cut.send("stubborn", "stubborn"), cut.send("early", "early")
    cut.noted("stubborn begins")
    cut.noted("early begins")
    worker.signal(SIGQUIT)
    worker.wait_log(r"Stopping \(SIGQUIT\)")
    worker.signal(SIGQUIT)
    cut.noted("stubborn swallowed", timeout=QUICKLY)
    worker.signal(SIGQUIT)
    assert worker.wait(QUICKLY) == 0
    assert f"Handed back cut.stubborn[{result.id}]" in worker.log()
    assert f"Lost cut.early[{lost.id}]" in worker.log()
    waiting = cut.scene.worker()
    cut.noted("stubborn begins", times=2)
    cut.enough("stubborn")
    assert result.get(timeout=20) == "stubborn"
    waiting.signal(SIGTERM)
    assert waiting.wait() == 0
