"""The screen works at whatever path another application has given it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.harness import wait_for
from tests.harness.forkserver import start
from tests.integration.mounting.screen import Client, make_screen
from tests.servers.process import HOST, free_port

PATIENCE = 60


@pytest.fixture(scope="module")
def flask_site() -> Iterator[str]:
    """Flask with a dispatcher, below a path of two parts."""
    import flask
    from werkzeug.serving import make_server

    shop = flask.Flask("shop")
    mounts = {"/ops/runs": make_screen()}
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, mounts)  # type: ignore[method-assign]
    server = make_server(HOST, 0, shop, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://{HOST}:{server.port}/ops/runs"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def fastapi_site() -> Iterator[str]:
    """FastAPI with a WSGI middleware, on uvicorn."""
    import uvicorn
    from a2wsgi import WSGIMiddleware
    from fastapi import FastAPI

    site = FastAPI()
    screen: Any = make_screen()
    middleware: Any = WSGIMiddleware(screen, workers=2)
    site.mount("/runs", middleware)
    config = uvicorn.Config(site, log_config=None, lifespan="off", ws="none", loop="asyncio")
    server = uvicorn.Server(config)
    with socket.create_server((HOST, 0)) as listening:
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}/runs"
        server.should_exit = True
        thread.join()
    middleware.executor.shutdown()


@pytest.fixture(scope="module")
def django_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Django on gunicorn, all of it below ``/site``, and the screen beside it."""
    port, log = free_port(), tmp_path_factory.mktemp("gunicorn") / "log"
    module = "tests.integration.mounting.django_site:application"
    words = [sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--threads", "4", module]
    with log.open("wb") as output:
        env = {**os.environ, "SCRIPT_NAME": "/site"}
        process = start(words, env=env, output=output)
    address = f"http://{HOST}:{port}/site"
    wait_for(lambda: _answers(address, log), PATIENCE, lambda: log.read_text())
    yield f"{address}/ops"
    os.kill(process.pid, signal.SIGTERM)
    process.wait()


def _answers(address: str, log: Path) -> bool:
    client = Client(address)
    try:
        return "the shop at /site/" in client.open(f"{address}/")
    except OSError:
        return False  # not listening yet


SITES = ("flask_site", "fastapi_site", "django_site")


@pytest.mark.parametrize("site", SITES)
def test_the_screen_is_below_its_mount(request: pytest.FixtureRequest, site: str) -> None:
    address: str = request.getfixturevalue(site)
    mount, client = urlsplit(address).path, Client(address)
    client.open(address)
    assert client.status == 403  # nobody is named
    client.open(address, X_User="ann")
    assert (client.status, client.url.rstrip("/")) == (200, address)
    for path in (
        "", "/?state=all", "/runs/one", "/start", "/start?task=shop.reindex", "/maintenance",
        "/workers", "/processes", "/nowhere", "/runs/none",
    ):  # fmt: skip
        page = client.open(f"{address}{path}", X_User="ann")
        assert client.status == (404 if path in ("/nowhere", "/runs/none") else 200), path
        assert "ann" in page
        wrong = [each for each in client.addresses if not each.startswith(f"{mount}/")]
        assert not wrong, (path, wrong)
    assert all(f"; Path={mount};" in each for each in client.set_cookies)
    for file in (each for each in client.addresses if "/static/" in each):
        client.open(file)
        assert (client.status, client.headers["cache-control"][:14]) == (200, "public, max-ag")
    client.open(f"{address}/health")
    assert client.status == 200


@pytest.mark.parametrize("site", SITES)
def test_a_change_leads_back_to_a_page_below_the_mount(
    request: pytest.FixtureRequest, site: str
) -> None:
    address: str = request.getfixturevalue(site)
    client = Client(address)
    client.open(f"{address}/runs/one", X_User="ann")
    fields = {
        "verb": "pause", "id": "one", "one": "yes", "reason": "a look", "back": "/runs/one",
        "form_token": client.token,
    }  # fmt: skip
    client.open(f"{address}/do", fields, X_User="ann", Origin="http://evil.example")
    assert (client.status, "another site" in client.text) == (403, True)
    page = client.open(f"{address}/do", fields, X_User="ann", Sec_Fetch_Site="same-origin")
    assert (client.status, client.url) == (200, f"{address}/runs/one")
    assert "Pause: asked" in page
    assert "a look" in page


def test_a_server_that_trusts_its_proxy_makes_cookies_secure(django_site: str) -> None:
    """gunicorn believes what comes from this machine, and Django does not hear of it."""
    client = Client(django_site)
    client.open(f"{django_site}/", X_User="ann", X_Forwarded_Proto="https")
    assert client.set_cookies
    assert all(each.endswith("; Secure") for each in client.set_cookies)
