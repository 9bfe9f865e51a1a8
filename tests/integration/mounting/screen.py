"""A screen with one run, whose users are named by a header, and a browser of a few lines."""

from __future__ import annotations

import http.client
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from celery_graceful import Graceful
from celery_graceful.runtime import runtime_of
from celery_graceful.web.shell.wsgi import Application, Visitor
from tests.unit.web.scene import begin, make_app, save


def make_screen() -> Application:
    """The screen of an app in memory, with the run ``one``."""
    app = make_app()
    runtime = runtime_of(app)
    save(runtime, "one", begin(runtime, "one"))
    return Graceful(app).wsgi(_visitor)


def _visitor(environ: Any) -> Visitor | None:
    name = environ.get("HTTP_X_USER")
    return Visitor(name) if name else None


class Client:
    """Keeps cookies, and follows redirects within the site."""

    def __init__(self, address: str) -> None:
        self.url, self.status, self.text = address, 0, ""
        self.headers: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self._cookies: dict[str, str] = {}

    def open(self, url: str, fields: dict[str, str] | None = None, **headers: str) -> str:
        """Ask for a page, or send a form; the text of what is shown in the end."""
        self.url = urljoin(self.url, url)
        place = urlsplit(self.url)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(str(place.hostname), place.port or 80, timeout=30)
        method = "GET" if fields is None else "POST"
        path = place.path + (f"?{place.query}" if place.query else "")
        connection.request(method, path, None if fields is None else urlencode(fields), sent)
        answer = connection.getresponse()
        self.status, self.text = answer.status, answer.read().decode()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.set_cookies = [v for k, v in answer.getheaders() if k.lower() == "set-cookie"]
        connection.close()
        for each in self.set_cookies:
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        if self.status in (301, 302, 303, 307, 308):
            return self.open(self.headers["location"], None, **headers)
        return self.text

    @property
    def token(self) -> str:
        """The token in the page's forms."""
        found = re.search(r'name="form_token" value="(\w+)"', self.text)
        assert found is not None, self.text
        return found[1]

    @property
    def addresses(self) -> list[str]:
        """Where the page's links, forms, scripts and styles lead."""
        found = re.findall(r'\s(?:href|src|action)="([^"]*)"', self.text)
        return [unescape(each) for each in found if not each.startswith(("#", "data:"))]
