"""The list of runs: tabs, filters, pages, changes of several at once."""

from __future__ import annotations

import re

from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.runtime import Runtime
from tests.unit.web.scene import TASK, Browser, begin, end, save


def ids_in(page: str) -> list[str]:
    return re.findall(
        r'data-open><span class="task">[^<]*</span> <code class="id" title="([^"]*)"', page
    )


def test_runs_are_listed_with_what_is_known_of_them(runtime: Runtime, browser: Browser) -> None:
    save(runtime, "one", begin(runtime, "one"))
    page = browser.get("/")
    assert browser.status == 200
    assert ids_in(page) == ["one"]
    assert TASK in page
    assert 'max="100" value="42"' in page
    assert "w1" in page


def test_a_tab_and_filters_are_in_the_address(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "live")
    begin(runtime, "gone")
    end(runtime, "gone", Outcome.FAILED)
    assert ids_in(browser.get("/?state=failed")) == ["gone"]
    assert ids_in(browser.get("/?text=LIVE")) == ["live"]
    assert "No run fits" in browser.get("/?task=other")
    page = browser.get("/?since=nonsense")
    assert browser.status == 400
    assert "nonsense" in page


def test_pages_stand_still(runtime: Runtime, browser: Browser) -> None:
    for number in range(60):
        begin(runtime, f"run-{number:02}", at=1.0 + number)
    first = browser.get("/")
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    begin(runtime, "early", at=0.5)
    second = browser.get(following[1].replace("&amp;", "&"))
    assert ids_in(first) + ids_in(second) == [f"run-{number:02}" for number in range(60)]


def test_several_runs_are_paused_at_once(runtime: Runtime, browser: Browser) -> None:
    for name in ("one", "two", "three"):
        begin(runtime, name)
    end(runtime, "three", Outcome.COMPLETED)
    browser.get("/")
    browser.post("/do", verb="pause", id=["one", f"{TASK}%5Btwo%5D", "three"], back="/?state=")
    assert "Pause: done for 2 runs" in browser.message
    assert "Refused for 1 run" in browser.message
    for name in ("one", "two"):
        assert "asked to pause" in browser.get(f"/runs/{name}")


def test_nothing_selected_changes_nothing(runtime: Runtime, browser: Browser) -> None:
    browser.get("/?text=x")
    begin(runtime, "one")
    browser.get("/")
    browser.post("/do", verb="pause", back="/")
    assert "No run was selected" in browser.message


def test_an_unknown_verb_is_refused(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    browser.get("/")
    assert "no verb" in browser.post("/do", verb="explode", id="one").lower()
    assert browser.status == 400


def test_every_run_that_fits_is_changed_after_a_question(
    runtime: Runtime, browser: Browser
) -> None:
    for number in range(60):
        begin(runtime, f"run-{number:02}", at=1.0 + number)
    begin(runtime, "other", worker="w2")
    browser.get("/?worker=w1")
    fields = {"verb": "pause", "everything": "yes", "filter_worker": "w1", "filter_state": "active",
              "back": "/?worker=w1"}  # fmt: skip
    page = browser.post("/do", **fields)
    assert "60 runs that fit" in page
    assert "and 40 more" in page
    assert "asked to pause" not in browser.get("/runs/run-00")
    browser.post("/do", confirmed="yes", **fields)
    assert "done for 60 runs" in browser.message
    assert runtime.store.load(RunKey(TASK, "run-59")).record.requested == "pause"  # type: ignore[union-attr]
    assert runtime.store.load(RunKey(TASK, "other")).record.requested is None  # type: ignore[union-attr]


def test_every_run_without_any_filter_is_refused(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    browser.get("/?state=all")
    browser.post("/do", verb="pause", everything="yes", filter_state="all", back="/")
    assert "nothing was changed" in browser.message
    browser.get("/")
    browser.post("/do", verb="pause", everything="yes", filter_state="nonsense", back="/")
    assert "nothing was changed" in browser.message


def test_what_is_dangerous_is_asked_first(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    browser.get("/")
    page = browser.post("/do", verb="cancel", id="one", back="/", reason="wrong file")
    assert "Cancel: 1 run" in page
    assert 'value="wrong file"' in page
    browser.post("/do", verb="cancel", id="one", back="/", confirmed="yes")
    assert "Cancel: done for 1 run" in browser.message
