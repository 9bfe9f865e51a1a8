"""What somebody would write who wants more from a reader than to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

#: Part of every name of an element or attribute that the texts would make.
MARK = "owned"
_DEPTH = 20_000

TEXTS = {
    "script": f"<script>{MARK}()</script><{MARK}>",
    "image": f"<img src=x onerror={MARK}() {MARK}=1>",
    "leave an attribute": f'" {MARK}="1" autofocus onfocus="{MARK}()',
    "leave an attribute with one quote": f"' {MARK}='1' onfocus='{MARK}()",
    "leave an attribute without quotes": f"x {MARK}=1 onfocus={MARK}() ",
    "leave an element": f"</textarea></pre></title></style></script><svg {MARK} onload={MARK}()>",
    "leave a comment": f"--><{MARK}><!--",
    "a template": "{{ 7*191 }}{% raw %}${7*191}#{7*191}",
    "an address": f"javascript:{MARK}()//",
    "another address": f"//{MARK}.example/\\\\{MARK}.example",
    "an entity": f"&lt;{MARK}&gt;&#60;{MARK}&#62;&quot;",
    "a header": f"x\r\nSet-Cookie: {MARK}=1\r\n\r\n<{MARK}>",
    "a terminal": "\x1b[2J\x1b[31m\x1b]0;owned\x07\x1b]8;;http://owned.example\x1b\\\x9b2J\x08\x7f",
    "rich markup": "[red]x[/red][link=http://owned.example]y[/link][/]",
    "null": "a\x00b\x00<c>",
    "turned around": "abc\u202egnp.exe\u2066\u2067\u200f\u061c\ufeff",
    "lines": "one\r\n[2026-01-01 00:00:00,000: ERROR/MainProcess] owned\n\u2028\u2029\x85two",
    "lone surrogates": "\ud800x\udfff\udce9",
    "combining": "z" + "\u0335\u0336" * 200,
    "wide": "\U0001f9ff\u3042\ufdfd" * 50,
    "a path": "../../etc/passwd/..;/%2e%2e/%00?x=1#y&id=z[q]",
    "percent": "%s%d%(x)s%n{0}{x}%1$s %",
    "spreadsheet": '=HYPERLINK("http://owned.example")',
    "nothing": "",
    "blank": " \t ",
    "megabyte": "<b>&\"'\x1b" * 145_000 + "END",
    "one long word": "x" * 1_000_000,
}
#: JSON that is none, or more than a reader bargained for.
JSON = {
    "no JSON": "{",
    "deep list": "[" * _DEPTH + "]" * _DEPTH,
    "deep object": '{"a":' * _DEPTH + "1" + "}" * _DEPTH,
    "other type": '"text"',
    "a list": "[1, null, {}]",
    "numbers": '{"at": 1e999, "v": NaN, "n": -Infinity}',
    "a long number": "1" * 10_000,
    "nulls": '{"v": null, "cursor": null, "steps": null, "at": null, "items": null}',
    "negative": '{"at": -1e18, "began": -1, "items": -5, "total": -1}',
    "far": '{"at": 1e18, "began": 1e300, "items": 1e30}',
}


def one_by_one(given: Mapping[str, str]) -> pytest.MarkDecorator:
    """A test with all texts at once and, to see which one it is, one for each with ``--all``."""
    single = [
        pytest.param([text], id=name, marks=pytest.mark.matrix) for name, text in given.items()
    ]
    return pytest.mark.parametrize("texts", [pytest.param([*given.values()], id="all"), *single])


each_text = one_by_one(TEXTS)
each_json = one_by_one(JSON)

#: What no terminal, log or page may get as it is: controls, separators, direction, surrogates.
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff]"
)


def unsafe_in(text: str) -> str:
    """The part of a text around the first such character; empty: there is none."""
    found = UNSAFE.search(text)
    return "" if found is None else repr(text[max(0, found.start() - 60) : found.end() + 20])
