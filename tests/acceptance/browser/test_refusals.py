"""Errors, questions and refusals are pages for everybody, and say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from celery_graceful.web.dispatch import Screen
from celery_graceful.web.shell.http_server import make_server
from celery_graceful.web.shell.wsgi import ScreenApplication, anybody
from tests.acceptance.browser.conftest import Visit
from tests.acceptance.browser.shop import SHORT, Shop
from tests.acceptance.browser.visitor import Visitor
from tests.servers.process import HOST
from tests.unit.web.scene import make_app

pytestmark = pytest.mark.slow


def looked_at(visitor: Visitor, title: str) -> None:
    """The page has this heading, and axe finds nothing on it, light or dark."""
    expect(visitor.page.locator("h1").last).to_contain_text(title)
    for scheme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=scheme)
        assert not visitor.violations(), (title, scheme)
        assert visitor.overflow() <= 0, (title, scheme)


def send(page: Page, button: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=button, exact=True).first.click()


@pytest.fixture
def broken() -> Iterator[str]:
    """The address of a screen with a defect."""
    app = make_app()
    screen = Screen(app)
    screen.__dict__["runs"] = object()
    server = make_server(HOST, 0, ScreenApplication(screen, anybody))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://{HOST}:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()
    app.close()


def test_a_defect_of_the_screen_is_a_page(visit: Visit, broken: str) -> None:
    visitor = visit(broken, width=360, examined=True)
    visitor.refusals(500)
    looked_at(visitor.open("runs/x"), "Something went wrong")
    expect(visitor.page.locator("#main")).to_contain_text("under the mark")


def test_the_login_is_for_everybody(visit: Visit, screen: str) -> None:
    visitor = visit(screen, width=360, examined=True)
    looked_at(visitor.open(), "Log in")
    visitor.refusals(401)
    visitor.page.get_by_label("User").fill("eve")
    visitor.page.get_by_label("Password").fill("x")
    send(visitor.page, "Log in")
    looked_at(visitor, "Log in")
    expect(visitor.page.get_by_role("alert")).to_contain_text("User or password is wrong")


@pytest.fixture(params=["screen", pytest.param("admin", marks=pytest.mark.matrix)])
def face(request: pytest.FixtureRequest) -> str:
    """The address of one of the two faces."""
    address: str = request.getfixturevalue(request.param)
    return address


def test_questions_and_errors_are_for_everybody(shop: Shop, person: Visit, face: str) -> None:
    run_id = shop.slow("asked.csv")
    visitor = person(face, width=360, examined=True)
    page = visitor.page
    visitor.refusals(404, 422)
    looked_at(visitor.open("nowhere"), "No such page")
    looked_at(visitor.open("runs/00000000"), "No such run")
    visitor.open("?state=all")
    page.get_by_label("All on this page").check()
    send(page, "Cancel")
    looked_at(visitor, "Cancel")  # it asks first
    visitor.open(f"start?task={SHORT}")
    page.get_by_label("since").fill("2026-11-30")
    page.get_by_label("weights").fill("{")
    send(page, "Start")
    looked_at(visitor, "Start")
    assert page.locator("[aria-invalid=true]").count() == 1
    assert shop.runs.get(run_id).state == "running"
    shop.runs.cancel(run_id)


def test_what_is_refused_says_why(shop: Shop, person: Visit, screen: str) -> None:
    run_id = shop.slow("refused.csv")
    visitor = person(examined=True).open(f"runs/{run_id}")
    page, main = visitor.page, visitor.page.locator("#main")
    token = page.locator("[name=form_token]").first.input_value()
    visitor.refusals(400, 403, 404, 405)
    for form, status, why in (
        ({"verb": "explode", "form_token": token}, 400, "There is no verb “explode”"),
        ({"verb": "pause", "form_token": "0" * 32}, 403, "load the page again"),
        ({"verb": "pause"}, 403, "load the page again"),
    ):
        data: dict[str, str | float | bool] = {"id": run_id, "one": "yes", **form}
        answer = visitor.context.request.post(f"{screen}do", form=data)
        assert (answer.status, why in answer.text()) == (status, True), answer.text()
    put = visitor.context.request.fetch(screen, method="PUT")
    assert (put.status, put.headers["allow"]) == (405, "GET")
    # Somebody else has changed the run since the page was loaded.
    shop.runs.pause(run_id, who="bob", reason="first")
    shop.wait_state(run_id, "paused")
    stale = {"verb": "release", "id": run_id, "one": "yes", "state": "running", "form_token": token}
    answer = visitor.context.request.post(f"{screen}do", form={**stale, "back": "/"})
    assert "Refused: " in answer.text()
    assert shop.runs.get(run_id).state == "paused"
    # A page of before the cookies were deleted.
    visitor.open(f"runs/{run_id}")
    kept = [one for one in visitor.context.cookies() if "form" not in str(one.get("name"))]
    visitor.context.clear_cookies()
    visitor.context.add_cookies(kept)  # type: ignore[arg-type]
    send(page, "Resume")
    looked_at(visitor, "Refused")
    expect(main).to_contain_text("Nothing was changed")
    assert shop.runs.get(run_id).state == "paused"
    # A name of somebody else that leads to this machine.
    page.goto(f"http://evil.localhost:{urlsplit(screen).port}/")
    looked_at(visitor, "Wrong request")
    expect(main).to_contain_text("does not answer to the name “evil.localhost”")
    shop.runs.cancel(run_id)
