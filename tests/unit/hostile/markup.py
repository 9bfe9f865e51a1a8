"""What a browser would make of a page: elements, attributes, addresses and texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from tests.unit.hostile.texts import MARK, unsafe_in

#: Elements that pages are made of.
ELEMENTS = frozenset((
    "html", "head", "meta", "title", "link", "script", "body", "a", "article", "aside", "b", "br",
    "button", "caption", "circle", "code", "datalist", "dd", "details", "dialog", "div", "dl",
    "dt", "em", "fieldset", "figcaption", "figure", "footer", "form", "g", "h1", "h2", "h3", "h4",
    "header", "hr", "i", "input", "kbd", "label", "legend", "li", "line", "main", "meter", "nav",
    "ol", "optgroup", "option", "output", "p", "path", "polyline", "pre", "progress", "q", "rect",
    "s", "section", "select", "small", "span", "strong", "sub", "summary", "sup", "svg", "table",
    "tbody", "td", "textarea", "tfoot", "th", "thead", "time", "tr", "ul", "var", "wbr",
))  # fmt: skip
ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "data", "poster", "ping")
#: A page of this screen, or a place on the page.
_OWN = re.compile(r"(?:/(?![/\\])|\?|#)[!-\[\]-~]*")
#: Elements whose script or style is a file of the screen.
_FILES = ("script", "style")


class Page(HTMLParser):
    """Reads a page; ``wrong`` says what others could have put there."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag not in ELEMENTS or MARK in tag:
            self.wrong.append(f"element {tag}")
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc") or MARK in name:
                self.wrong.append(f"attribute {name} of {tag}")
            if name in ADDRESSES and not _OWN.fullmatch(value or "/"):
                self.wrong.append(f"address {(value or '')[:200]!r} in {name} of {tag}")
            self._look_at(value or "", f"{name} of {tag}")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in _FILES and data.strip():
            self.wrong.append(f"{self._open[-1]} within the page: {data[:100]!r}")
        self.texts.append(data)
        self._look_at(data, f"text of {self._open[-1] if self._open else 'nothing'}")

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.wrong.append(f"comment {data[:100]!r}")

    def _look_at(self, text: str, where: str) -> None:
        if found := unsafe_in(text):
            self.wrong.append(f"a character that does something, in {where}: {found}")
