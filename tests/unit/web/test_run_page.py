"""The page of a run: what it shows, which buttons are legal, and what the forms do."""

from __future__ import annotations

import re
import time

import pytest

from celery_graceful.model.run.history import RunError, error_text
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.model.run.verbs import VERBS, Verb
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.rendering.rate_chart import chart_of, shown_executions
from celery_graceful.web.rendering.shown_verbs import LABELS, shown_verbs
from tests.unit.web import scene
from tests.unit.web.scene import TASK, Browser, begin, end, save


@pytest.fixture
def runs(runtime: Runtime) -> Runs:
    return Runs(lambda: runtime.app)


def enabled(page: str) -> set[str]:
    """The verbs whose buttons can be pressed."""
    buttons = re.findall(r'<button type="submit" name="verb" value="(\w+)"([^>]*)>', page)
    return {verb for verb, rest in buttons if "disabled" not in rest}


def test_everything_that_is_known_is_shown(runtime: Runtime, browser: Browser) -> None:
    now = time.time()
    fence = scene.travelled(runtime, "one", now - 1500)
    scene.quarantine(runtime, "one", fence)
    page = browser.get("/runs/one")
    assert browser.status == 200
    for text in (
        TASK, "running", "w1@host", "max_execution_time", "maintenance", "process 4711",
        "s3://bucket/orders.csv", "&#34;region&#34;: &#34;eu&#34;", "no price in row 2",
        "<svg", 'class="stop"', 'data-copy="9"',
    ):  # fmt: skip
        assert text in page, text
    assert page.count('<rect class="rate"') == 3
    assert re.search(r"Executions <span[^>]*>4<", page)


def test_only_legal_verbs_have_buttons(runtime: Runtime, browser: Browser) -> None:
    scene.travelled(runtime, "one", 1.0, executions=1)
    page = browser.get("/runs/one")
    assert {"pause", "cancel", "release"} <= enabled(page)
    assert not {"resume", "retry", "delete"} & enabled(page)
    assert "It is not paused." in page


@pytest.mark.parametrize("case", sorted({case for _, case in VERBS}))
def test_buttons_are_those_of_the_table(case: str, runtime: Runtime, runs: Runs) -> None:
    from dataclasses import replace

    scene.travelled(runtime, "one", 1.0, executions=1)
    states = {"pausing": ("running", "pause"), "cancelling": ("running", "cancel")}
    state, requested = states.get(str(case), (str(case), None))
    run = replace(runs.get("one"), state=state, requested=requested, quarantined=1)
    shown = {verb.name: verb.why_not for verb in shown_verbs(run, "")}
    assert set(shown) == {str(verb) for verb in Verb} == {str(verb) for verb in LABELS}
    for verb in Verb:
        assert shown[str(verb)] == VERBS[verb, case].why_not  # type: ignore[index]


def test_an_action_is_logged_with_the_user_and_the_reason(
    runtime: Runtime, browser: Browser, runs: Runs
) -> None:
    scene.travelled(runtime, "one", 1.0, executions=1)
    browser.get("/runs/one")
    page = browser.post(
        "/do", verb="pause", id="one", one="yes", reason="counting", back="/runs/one"
    )
    assert browser.url == "/runs/one"
    assert "Pause: asked" in browser.message
    assert "Resume" in browser.message
    (action,) = runs.get("one").actions
    assert (action.who, action.verb, action.reason) == ("ann", "pause", "counting")
    assert "counting" in page


def test_what_the_state_does_not_allow_is_refused_with_the_reason(
    runtime: Runtime, browser: Browser
) -> None:
    begin(runtime, "one")
    browser.get("/runs/one")
    end(runtime, "one", Outcome.COMPLETED)
    browser.post("/do", verb="pause", id="one", one="yes", back="/runs/one")
    assert "Refused" in browser.message
    assert "It has completed" in browser.message


def test_a_stale_form_is_refused(runtime: Runtime, browser: Browser) -> None:
    scene.travelled(runtime, "one", 1.0, executions=1)
    end(runtime, "one", Outcome.FAILED)
    browser.get("/runs/one")
    browser.post("/do", verb="delete", id="one", one="yes", state="paused", back="/runs/one")
    assert "Refused" in browser.message
    assert "failed by now" in browser.message
    browser.post("/do", verb="delete", id="one", one="yes", state="failed", back="/runs/one")
    assert browser.url == "/"
    assert "Delete" in browser.message
    browser.get("/runs/one")
    assert browser.status == 404


def test_a_run_is_rewound_and_forked(runtime: Runtime, browser: Browser, runs: Runs) -> None:
    fence = scene.travelled(runtime, "one", 1.0, executions=1)
    browser.get("/runs/one")
    browser.post("/do", verb="fork", id="one", one="yes", state="running", cursor="7", reason="try",
                 back="/runs/one")  # fmt: skip
    assert browser.url != "/runs/one"
    assert "Fork" in browser.message
    fork = runs.get(browser.url.rpartition("/")[2])
    assert fork.state == "queued"
    end(runtime, "one", Outcome.FAILED, fence)
    browser.get("/runs/one")
    browser.post("/do", verb="rewind", id="one", one="yes", state="failed", cursor="null",
                 back="/runs/one")  # fmt: skip
    assert "failed → interrupted" in browser.message
    assert runs.get("one").cursor is None
    browser.post("/do", verb="adjust", id="one", one="yes", checkpoint_interval="never")
    assert browser.status == 422
    assert 'id="adjust-checkpoint_interval-error"' in browser.text


@pytest.mark.parametrize("cursor", ["{", "NaN", "[" * 5000])
def test_a_wrong_cursor_is_an_error_at_its_field(
    runtime: Runtime, browser: Browser, cursor: str
) -> None:
    scene.travelled(runtime, "one", 1.0, executions=1)
    browser.get("/runs/one")
    page = browser.post("/do", verb="fork", id="one", one="yes", cursor=cursor, reason="again")
    assert browser.status == 422
    assert 'aria-describedby="fork-cursor-error"' in page
    assert '<details class="ask" id="ask-fork" open>' in page
    assert 'value="again"' in page


def test_the_cursor_is_prefilled(runtime: Runtime, browser: Browser) -> None:
    save(runtime, "one", begin(runtime, "one"))
    page = browser.get("/runs/one")
    assert re.search(r'<textarea id="fork-cursor"[^>]*>\s*41</textarea>', page)


def test_quarantined_items_are_replayed(runtime: Runtime, browser: Browser) -> None:
    fence = scene.travelled(runtime, "one", 1.0, executions=1)
    scene.quarantine(runtime, "one", fence)
    browser.get("/runs/one")
    browser.post("/do", verb="replay", id="one", one="yes", which="selected", back="/runs/one")
    assert browser.status == 422
    assert "No item was selected" in browser.text
    browser.post("/do", verb="replay", id="one", one="yes", which="selected", item=["0", "2"],
                 back="/runs/one")  # fmt: skip
    assert "2 items" in browser.message
    browser.post("/do", verb="replay", id="one", one="yes", which="all", back="/runs/one")
    assert "3 items" in browser.message


def test_the_error_of_a_failed_run_is_shown(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    error = RunError("OSError", "postgresql://ann:hunter2@db/shop refused <b>", "File x\n  line 2")
    end(runtime, "one", Outcome.FAILED, error=error_text(error))
    page = browser.get("/runs/one")
    assert "OSError" in page
    assert "File x\n  line 2" in page
    assert "&lt;b&gt;" in page
    assert "hunter2" not in page
    assert "hunter2" not in browser.get("/?state=failed")


def test_runs_that_are_not_there_are_pages(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "abc-1")
    begin(runtime, "abc-2")
    assert "write more of the id" in browser.get("/runs/abc")
    assert browser.status == 409
    browser.get("/runs/none")
    assert browser.status == 404
    browser.get("/runs/")
    assert browser.status == 404
    browser.get("/runs")
    assert browser.status == 404


HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "../../login",
    "..",
    "a/b?c#d&e=f",
    "‮gpj.exe",
    "\x1b[31m red",
    "%2e%2e%2f",
    "a b\nc",
    "{{ 7 * 7 }}",
    "x[y]",
    "é" * 120,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_are_harmless_and_work(
    runtime: Runtime, browser: Browser, runs: Runs, name: str
) -> None:
    begin(runtime, name)
    page = browser.get("/")
    for evil in ("<script>alert", '" onmouseover="', "‮", "\x1b", ">49<"):
        assert evil not in page
    link = re.search(r'href="([^"]+)" data-open', page)
    assert link is not None
    run_page = browser.get(link[1].replace("&amp;", "&"))
    assert browser.status == 200
    for evil in ("<script>alert", '" onmouseover="', "‮", "\x1b", ">49<"):
        assert evil not in run_page
    field = re.search(r'name="id" value="([^"]+)"', run_page)
    back = re.search(r'name="back" value="([^"]+)"', run_page)
    assert field is not None
    assert back is not None
    place = back[1].replace("&amp;", "&")
    browser.post("/do", verb="pause", id=field[1], one="yes", back=place)
    assert "Pause: asked" in browser.message
    assert runs.get(f"{TASK}[{name}]").requested == "pause"


def test_the_chart_has_a_bar_for_each_execution() -> None:
    from celery_graceful.model.run.history import PastExecution

    past = (
        PastExecution("w1", 100.0, 200.0, 1000, "shutdown"),
        PastExecution("w2", 250.0, 250.0, 0, "lost"),
        PastExecution("w1", 300.0, None, 100, None),
    )
    shown = shown_executions(past, 5, 310.0)
    assert [each.number for each in shown] == [3, 4, 5]
    assert [each.rate for each in shown] == [10.0, None, 10.0]
    chart = chart_of(shown)
    assert chart is not None
    first, last = chart.bars
    assert (first.x, first.stop) == (0, "shutdown")
    assert last.x + last.width <= chart.width
    assert last.stop == ""
    assert chart_of(shown_executions(past[1:2], 1, None)) is None


def test_a_run_is_found_by_its_task_as_well(screen: Screen, runtime: Runtime) -> None:
    browser = Browser(screen)
    begin(runtime, "same")
    assert runtime.store.load(RunKey(TASK, "same")).record is not None
    browser.get(f"/runs/{TASK}[same]")
    assert browser.status == 200
