"""A person finds runs, changes them and starts one, on the screen and in the Django admin."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.browser.conftest import Visit
from tests.acceptance.browser.shop import BAD, FAILING, SHORT, SLOW, USER, Shop
from tests.acceptance.browser.visitor import Visitor

pytestmark = pytest.mark.slow


@pytest.fixture(params=["screen", "admin"])
def face(request: pytest.FixtureRequest) -> str:
    """The address of one of the two faces of the screen."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture(params=["screen", pytest.param("admin", marks=pytest.mark.matrix)])
def often_screen(request: pytest.FixtureRequest) -> str:
    """The same, where one face is enough: the other one has the same pages."""
    address: str = request.getfixturevalue(request.param)
    return address


#: Both, and with scripts off; the admin has the same forms then.
FACES = pytest.mark.parametrize(
    ("face", "scripts"),
    [
        pytest.param("screen", True, id="screen"),
        pytest.param("screen", False, id="screen without scripts"),
        pytest.param("admin", True, id="admin"),
        pytest.param("admin", False, id="admin without scripts", marks=pytest.mark.matrix),
    ],
    indirect=["face"],
)


def open_run(visitor: Visitor, run_id: str) -> Page:
    visitor.open(f"runs/{run_id}")
    return visitor.page


def shown_as(visitor: Visitor, run_id: str, state: str) -> Page:
    """The run's page, once it shows this state: it is shared by all viewers for two seconds."""
    badge = visitor.page.locator("#main .badge").first
    visitor.until(
        lambda: state in (open_run(visitor, run_id), badge.inner_text())[1], f"{run_id} {state}"
    )
    return visitor.page


def press(page: Page, name: str, reason: str = "") -> str:
    """Press a button of the actions; what the next page says came of it."""
    if reason:
        page.get_by_label("Reason, for the action log").first.fill(reason)
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).first.click()
    return page.locator("#messages, .messagelist").inner_text()


def press_in(page: Page, verb: str, **fields: str) -> str:
    """Open the form of a verb, fill it in and send it."""
    form = page.locator(f"#ask-{verb}")
    form.locator("summary").click()
    for name, value in fields.items():
        form.locator(f"[name={name}]").fill(value)
    with page.expect_navigation():
        form.locator("[type=submit]").click()
    return page.locator("#messages, .messagelist").inner_text()


@FACES
def test_a_run_is_found_paused_resumed_and_cancelled(
    shop: Shop, person: Visit, face: str, scripts: bool
) -> None:
    run_id = shop.slow(f"find-me-{scripts}.csv")
    visitor = person(face, scripts=scripts).open()
    page = visitor.page
    page.get_by_label("Search").first.fill(run_id[:8])
    page.get_by_label("Task", exact=True).fill(SLOW)
    with page.expect_navigation():
        page.get_by_role("button", name="Filter").click()
    assert f"text={run_id[:8]}" in page.url
    rows = page.locator("[data-row]")
    assert rows.count() == 1
    with page.expect_navigation():
        rows.locator("a[data-open]").click()
    assert SLOW in page.locator("#main h1").inner_text()

    assert "Pause" in press(page, "Pause", reason="a look at the data")
    paused = shop.wait_state(run_id, "paused")
    assert [(each.who, each.verb, each.reason) for each in paused.actions] == [
        (USER, "pause", "a look at the data")
    ]
    shown_as(visitor, run_id, "paused")
    expect(page.locator("#main")).to_contain_text("a look at the data")
    expect(page.get_by_role("button", name="Pause", exact=True).first).to_be_disabled()

    press(page, "Resume")
    shop.wait_run(run_id, lambda run: run.state == "running" and run.steps > paused.steps)
    shown_as(visitor, run_id, "running")
    assert "Cancel" in press_in(page, "cancel", reason="enough")
    ended = shop.wait_state(run_id, "cancelled")
    assert ended.actions[-1].reason == "enough"


def test_a_failed_run_is_retried_from_a_cursor(
    shop: Shop, person: Visit, often_screen: str
) -> None:
    batch = f"batch {often_screen}"
    run_id = shop.send(FAILING, batch)
    shop.wait_state(run_id, "failed")
    visitor = person(often_screen)
    page = open_run(visitor, run_id)
    expect(page.locator("#main")).to_contain_text("invoice 40 has no address")
    shop.ledger.add(f"{batch} is fixed")
    assert page.locator("#ask-rewind [name=cursor]").input_value() == "39"
    visitor.refusals(422)
    press_in(page, "rewind", cursor="[1")
    expect(page.locator("#ask-rewind")).to_contain_text("no JSON")
    form = page.locator("#ask-rewind")
    form.locator("[name=cursor]").fill("30")
    with page.expect_navigation():
        form.locator("[type=submit]").click()
    shop.wait_state(run_id, "completed")
    done = [str(item).partition(":")[2] for item in shop.ledger.items() if run_id in str(item)]
    assert done == [*map(str, range(1, 40)), *map(str, range(31, 61))]


def test_a_run_is_forked(shop: Shop, person: Visit, often_screen: str) -> None:
    run_id = shop.slow("forked.csv")
    page = open_run(person(often_screen), run_id)
    message = press_in(page, "fork", cursor="4990", reason="the end first")
    assert run_id not in page.url, message
    fork = page.url.partition("/runs/")[2].partition("?")[0]
    assert shop.wait_state(fork, "completed").steps >= 10
    shop.runs.cancel(run_id)


def test_quarantined_items_are_replayed(shop: Shop, person: Visit, often_screen: str) -> None:
    file = f"customers {often_screen}.csv"
    run_id = shop.send(BAD, file)
    shop.wait_state(run_id, "completed")
    page = open_run(person(often_screen), run_id)
    items = page.locator("[name=item]")
    assert items.count() == 2
    shop.ledger.add(f"{file} is fixed")
    items.first.check()
    message = press(page, "Replay selected")
    assert "Replay" in message
    shop.wait_run(run_id, lambda _: len(shop.runs.quarantined(run_id)) == 1)


def test_a_run_is_started_with_the_form(shop: Shop, person: Visit, face: str) -> None:
    visitor = person(face)
    page = visitor.open("start").page
    with page.expect_navigation():
        page.get_by_role("link", name=SHORT).click()
    page.get_by_label(re.compile("^limit")).fill("7")
    page.get_by_label(re.compile("^weights")).fill('{"a": ')
    page.get_by_label(re.compile("^since")).fill("2026-11-30")
    visitor.refusals(422)
    with page.expect_navigation():
        page.get_by_role("button", name="Start", exact=True).click()
    wrong = page.locator("[aria-invalid=true]")
    assert wrong.count() == 1
    assert wrong.get_attribute("id") == page.get_by_label(re.compile("^weights")).get_attribute(
        "id"
    )
    wrong.fill('{"a": 1.5}')
    with page.expect_navigation():
        page.get_by_role("button", name="Start", exact=True).click()
    assert "/runs/" in page.url
    run_id = page.url.partition("/runs/")[2].partition("/")[0].partition("?")[0]
    run = shop.wait_state(run_id, "completed")
    assert run.steps == 7
    assert USER in (run.sent_by or "")


def test_several_runs_are_changed_at_once(shop: Shop, person: Visit, often_screen: str) -> None:
    ids = [shop.slow(f"bulk-{number}.csv") for number in range(2)]
    page = person(often_screen).open(f"?task={SLOW}&state=active").page
    for run_id in ids:
        page.locator("[data-row]").filter(has_text=run_id[:8]).locator("[type=checkbox]").check()
    press(page, "Pause")
    for run_id in ids:
        shop.wait_state(run_id, "paused")
    page.goto(f"{often_screen}?task={SLOW}&state=paused")
    for run_id in ids:
        page.locator("[data-row]").filter(has_text=run_id[:8]).locator("[type=checkbox]").check()
    press(page, "Cancel")
    expect(page.locator("#main h1")).to_contain_text("2 runs")  # it asks first
    press(page, "Cancel")
    for run_id in ids:
        shop.wait_state(run_id, "cancelled")


def take_down(page: Page, *, finish: bool = False) -> None:
    """Hold everything; runs under way stop, or may finish."""
    page.get_by_label("Everything").check()
    page.get_by_label("Reason, shown to everybody").fill("migration 0042")
    page.get_by_label("Let running iterable tasks finish").set_checked(finish)
    with page.expect_navigation():
        page.get_by_role("button", name="Down", exact=True).click()


def barrier_shows(visitor: Visitor, text: str, *, live: bool) -> None:
    """How many workers have paused; without a script, after a reload."""
    summary = visitor.page.locator("#barrier-summary")
    if live:
        return expect(summary).to_contain_text(text, timeout=30_000)
    visitor.until(
        lambda: text in (visitor.open("maintenance"), summary.inner_text())[1], text, timeout=60
    )


@FACES
def test_maintenance_is_taken_down_and_up(
    shop: Shop, person: Visit, face: str, scripts: bool
) -> None:
    run_id = shop.slow("held.csv")
    visitor = person(face, scripts=scripts).open("maintenance")
    page = visitor.page
    take_down(page, finish=True)
    try:
        # The worker that runs nothing has paused, the other one is waited for.
        barrier_shows(visitor, "1 of 2 workers paused", live=scripts)
        assert shop.runs.get(run_id).state == "running"
        take_down(page)
        shop.wait_state(run_id, "interrupted")
        barrier_shows(visitor, "2 workers paused", live=scripts)
        page.goto(face)
        expect(page.locator(".banner")).to_contain_text("migration 0042")
        page.goto(f"{face}maintenance")
        with page.expect_navigation():
            page.get_by_role("button", name="Up: end maintenance").click()
        shop.wait_state(run_id, "running")
    finally:
        if shop.maintenance.status().mode.down:
            shop.maintenance.up()
    expect(page.locator("#main")).to_contain_text("Nothing is held")
    shop.runs.cancel(run_id)
