"""The screen as a WSGI application: alone, and mounted in others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from celery import Celery
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from celery_graceful import Graceful
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime
from celery_graceful.web.shell import http_server
from celery_graceful.web.shell.wsgi import MOST_OF_FORM, Visitor, is_loopback
from tests.unit.web.scene import begin


def client_of(application: Any) -> Client:
    return Client(application, Response)


def ask(client: Client, path: str = "/", **environ: str) -> TestResponse:
    environ = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1", **environ}
    return client.get(path, environ_overrides=environ)


def test_without_a_visitor_only_this_machine_may_look(app: Celery, runtime: Runtime) -> None:
    begin(runtime, "one")
    client = client_of(Graceful(app).wsgi())
    shown = ask(client)
    assert shown.status_code == 200
    assert "read-only" in shown.text
    assert ask(client, REMOTE_ADDR="10.0.0.7").status_code == 403
    assert ask(client, HTTP_X_FORWARDED_FOR="10.0.0.7").status_code == 403
    assert ask(client, HTTP_FORWARDED="for=10.0.0.7").status_code == 403
    assert ask(client, HTTP_HOST="shop.example").status_code == 400


def test_a_mounting_application_names_user_and_permissions(app: Celery, runtime: Runtime) -> None:
    begin(runtime, "one")

    def visitor(environ: Any) -> Visitor | None:
        name = environ.get("HTTP_X_USER")
        return Visitor(name, {"view", "operate"}) if name else None

    mounted = DispatcherMiddleware(Response("the shop"), {"/ops": Graceful(app).wsgi(visitor)})
    client = client_of(mounted)
    assert ask(client, "/ops/").status_code == 403
    page = ask(client, "/ops/", HTTP_X_USER="ann", HTTP_HOST="shop.example")
    assert page.status_code == 200
    assert 'href="/ops/runs/one"' in page.text
    token = client.get_cookie("graceful_form", path="/ops", domain="shop.example")
    assert token is not None
    done = client.post(
        "/ops/do",
        data={"verb": "pause", "id": "one", "one": "yes", "form_token": token.value, "back": "/"},
        environ_overrides={"HTTP_X_USER": "ann", "HTTP_HOST": "shop.example"},
    )
    assert (done.status_code, done.headers["Location"]) == (303, "/ops/")
    (action,) = Runs(lambda: app).get("one").actions
    assert action.who == "ann"


def test_a_permission_that_is_none_is_an_error(app: Celery) -> None:
    client = client_of(Graceful(app).wsgi(lambda environ: Visitor("ann", {"admin"})))
    with pytest.raises(ValueError, match="admin"):
        ask(client)


def test_flask_mounts_it(app: Celery, runtime: Runtime) -> None:
    import flask

    begin(runtime, "one")
    shop = flask.Flask("shop")
    shop.secret_key = "for the test"

    @shop.get("/login/<name>")
    def login(name: str) -> str:
        flask.session["user"] = name
        return "hello"

    def visitor(environ: Any) -> Visitor | None:
        with shop.request_context(environ):
            name = flask.session.get("user")
        return Visitor(name) if name else None

    shop.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        shop.wsgi_app, {"/runs": Graceful(app).wsgi(visitor)}
    )
    browser = shop.test_client()
    assert browser.get("/runs/").status_code == 403
    browser.get("/login/ann")
    page = browser.get("/runs/")
    assert page.status_code == 200
    assert "ann" in page.text


def test_forms_that_are_too_large_are_refused(app: Celery) -> None:
    client = client_of(Graceful(app).wsgi())
    environ = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
    large = client.post("/do", data={"reason": "x" * (MOST_OF_FORM + 1)}, environ_overrides=environ)
    assert large.status_code == 413
    assert ask(client, f"/?text={'x' * 20_000}").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("PUT", "/", 405),
        ("POST", "/", 405),
        ("GET", "/do", 405),
        ("GET", "/static/../dispatch.py", 404),
        ("GET", "/static/%2e%2e/dispatch.py", 404),
        ("GET", "/static/nothing.css", 404),
        ("GET", "/runs/\x00", 404),
        ("GET", "/runs/%ff%fe", 404),
        ("GET", "/?state=%00", 400),
        ("GET", "/?after=nonsense", 400),
        ("GET", "/?text=%ff%00%f0", 200),
        ("GET", "/?since=-1", 400),
    ],
)
def test_odd_requests_have_an_answer(app: Celery, method: str, path: str, status: int) -> None:
    client = client_of(Graceful(app).wsgi())
    environ = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
    answer = client.open(path, method=method, environ_overrides=environ)
    assert answer.status_code == status
    assert "Content-Security-Policy" in answer.headers
    if method == "HEAD":
        assert answer.data == b""


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("127.0.0.1.evil.example", False)],
)  # fmt: skip
def test_what_is_this_machine(address: str, here: bool) -> None:
    assert is_loopback(address) is here


# -- a real server ---------------------------------------------------------------------------


@pytest.fixture
def address(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(http_server, "SILENCE", 0.3)
    monkeypatch.setattr(http_server, "CONNECTIONS", 4)
    server = http_server.make_server("127.0.0.1", 0, Graceful(app).wsgi())
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield "127.0.0.1", server.port
    server.shutdown()
    thread.join()
    server.server_close()


def talk(address: tuple[str, int], text: bytes) -> bytes:
    """Send something and read until the server hangs up."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(text)
        parts = list(iter(lambda: connection.recv(65536), b""))
    return b"".join(parts)


def test_a_server_answers_and_hangs_up_on_the_silent(address: tuple[str, int]) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = talk(address, whole)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Server: celery-graceful\r\n" in answer
    assert talk(address, b"GET / HT") == b""
    for wrong in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 20):
        talk(address, wrong)
    assert talk(address, whole).startswith(b"HTTP/1.1 200")


def test_a_server_has_room_for_so_many_and_no_more(address: tuple[str, int]) -> None:
    silent = [socket.create_connection(address, timeout=10) for _ in range(8)]
    for each in silent:
        assert each.recv(10) == b""
        each.close()
    assert b"200 OK" in talk(address, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
