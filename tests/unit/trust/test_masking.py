"""No password is shown, however the address was written."""

from __future__ import annotations

import re
import string
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from celery_graceful.errors import SettingsError, StoreError
from celery_graceful.settings.setting import wrong_value
from celery_graceful.stores.url import open_store
from celery_graceful.text.masking import MASK, mask_text, mask_url

#: Not a part of any word around it.
CORE = "Hu2Xq"
PLAIN = string.ascii_letters + string.digits + string.punctuation
passwords = st.builds(
    lambda before, after: before + CORE + after,
    st.text(PLAIN, max_size=6),
    st.text(PLAIN, max_size=6),
)
SCHEMES = (
    "redis", "rediss", "valkey", "sentinel", "amqp", "amqps", "postgresql+psycopg", "sqs",
    "mysql+pymysql", "mssql+pyodbc", "mongodb", "azureservicebus", "sqla+postgresql", "db+mysql",
    "http", "foo", "confluentkafka", "azurestoragequeues",
)  # fmt: skip
#: Where a password may stand.
SHAPES = (
    "{s}://u:{p}@h/db", "{s}://:{p}@h:6379/0", "{s}://u:{p}@h1:1,h2:2/db", "{s}://u:{p}@",
    "{s}://{p}@h", "{s}://u:{p}@[::1]:1/0", "{s}://:{p}@https://acct.example.com/",
    "{s}://h/db?password={p}", "{s}://h/db?pwd={p}", "{s}://h/db?db=0&sentinel_password={p}",
    "{s}:///?odbc_connect=DRIVER={{x}};UID=u;PWD={p}", "{s}://h/?odbc_connect=PWD%3D{p}",
    "{s}://h/db?x={p}", "{s}://h/db?sslpassword={p}&sslmode=require", "{s}://h/db#{p}",
    "{s}://u:{p}@a/0;{s}://u:{p}@b/0", "{s}://a/0;{s}://u:{p}@b/0?password={p}",
)  # fmt: skip
#: Texts that are no URL.
TEXTS = (
    "u:{p}@h/db", ":{p}@h", "host=h password={p}", "Server=h;Uid=u;Pwd={p}", "{s}//u:{p}@h",
    "Endpoint=sb://n.example.com/;SharedAccessKeyName=n;SharedAccessKey={p}",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={p}",
)  # fmt: skip


@settings(max_examples=500)
@given(password=passwords, scheme=st.sampled_from(SCHEMES), shape=st.sampled_from(SHAPES + TEXTS))
@example(f"s3?{CORE}", "postgresql+psycopg", "{s}://u:{p}@h/db")
@example(f"/{CORE}", "redis", "{s}://:{p}@h:6379/0")
@example(f";redis://{CORE}", "redis", "{s}://:{p}@h:6379/0")
@example(f"a@b?{CORE}", "redis", "{s}://:{p}@h:6379/0")
@example(f";{CORE}=", "redis", "{s}://h/db?password={p}")
@example(f";{CORE}=", "redis", "u:{p}@h/db")
@example(f";{CORE}=", "redis", "Server=h;Uid=u;Pwd={p}")
@example(f";{CORE}=", "redis", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={p}")
@example(f";db={CORE}", "redis", "{s}://h/db?pwd={p}")
@example(f"&{CORE}=", "redis", "{s}://h/db?x={p}")
def test_an_address(password: str, scheme: str, shape: str) -> None:
    if "u:" not in shape and ":{p}" not in shape:
        password = password.replace(":", "")  # what is before it would be a user's name
    url = shape.format(s=scheme, p=password)
    shown = mask_url(url)
    assert CORE not in shown
    assert mask_url(shown).count(CORE) == 0
    assert CORE not in mask_text(f"cannot connect to {url}", url)
    assert CORE not in mask_text(f"ValueError: Port could not be cast: {password!r}", url)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "odbc" not in shape])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_address_within_a_text(scheme: str, shape: str) -> None:
    url = shape.format(s=scheme, p=f"x{CORE}!")
    assert CORE not in mask_text(f"cannot connect to {url}: refused")
    assert CORE not in mask_text(f"{{'url': '{url}'}}")


@pytest.mark.parametrize(
    "text",
    [
        f"login of me:{CORE}@host failed", f"password={CORE}", f"Pwd = '{CORE} x'; UID=u",
        f"{{'password': '{CORE}', 'user': 'u'}}", f'{{"secret_key": "{CORE}"}}',
        f"mysqldump --password={CORE} db", f"env AWS_SECRET_ACCESS_KEY={CORE} celery",
        f"SharedAccessKey={CORE};x", f"token: {CORE}",
    ],
)  # fmt: skip
def test_a_text_of_a_driver(text: str) -> None:
    shown = mask_text(text)
    assert CORE not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0", "rediss://host/0?ssl_cert_reqs=required&db=1", "memory://x",
        "sqlite:////home/me@work/the runs.db", "unix:///run/redis.sock?db=2", "redis://",
        "postgresql+psycopg://h1:1,h2:2/db?sslmode=require&target_session_attrs=primary",
        "redis://[::1]:6379/0", "localhost:6379", "amqp://guest:***@host:5672//",
        "sentinel://a:1;sentinel://b:2/0?master_name=m",
    ],
)  # fmt: skip
def test_what_is_harmless_is_shown(url: str) -> None:
    assert mask_url(url) == url


def test_a_text_without_secrets_stays_as_it_is() -> None:
    for text in (
        "Error 111 connecting to 127.0.0.1:6379. Connection refused.",
        'connection to server at "127.0.0.1", port 5432 failed: FATAL: database "x" does not exist',
        "celery@host-1: proj.work[8f1c] at 12:30",
    ):
        assert mask_text(text) == text


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    mask_url(text)
    mask_text(text, text)


@pytest.mark.parametrize(
    "text",
    [
        "a:" * 50_000, "a:" * 50_000 + "@", "a:@" * 30_000 + "@", "-" * 100_000 + "@x",
        "@" * 100_000,
        "redis://" * 20_000, "redis://a@" * 10_000, "pwd=" * 30_000, "pwd={" * 20_000,
        "pwd='" * 20_000, "=;" * 50_000, "a." * 50_000, "a-" * 50_000, "pass." * 20_000,
        "token-" * 20_000, "a+" * 50_000, "a+b." * 20_000, "odbc_connect=" * 10_000, "x?" * 50_000,
        "pass" + " " * 100_000, "a=;" * 30_000, "a,b:1" * 20_000, "[::]" * 20_000,
    ],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_it_takes_no_time(text: str) -> None:
    began = time.process_time()
    mask_text(text)
    mask_url(text)
    assert time.process_time() - began < 2


# -- where addresses are shown -------------------------------------------------------------------

WRONG = (
    "redis://u:{p}", "redis://h:{p}/0", "redis://u:x?{p}@h/0", "redis://u:{p}@h/zero",
    "redis://h/0?pwd={p}", "sentinel://:{p}@h", "unix://?password={p}", "amqp://u:{p}?x@h",
    "postgresql+psycopg://u:{p}@h:port/db", "mysql+nope://u:{p}?x@h/db", "u:{p}@h/0", "redis//:{p}",
    "foo://h?password={p}", "sqlite://?password={p}",
)  # fmt: skip


@pytest.mark.parametrize("url", WRONG)
def test_the_error_of_a_store_that_cannot_be_opened(url: str) -> None:
    with pytest.raises((SettingsError, StoreError)) as caught:
        open_store(url.format(p=CORE), "shop").check()
    chain: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        chain.append(error)
        error = (
            None
            if error.__suppress_context__ and not error.__cause__
            else (error.__cause__ or error.__context__)
        )
    assert CORE not in " ".join(map(str, chain))


@pytest.mark.parametrize(
    "value", ["u:{p}@h", "redis//:{p}", {"password": "{p}"}, ["redis://u:{p}@h"]]
)
def test_the_error_of_a_setting(value: Any) -> None:
    value = eval(repr(value).replace("{p}", CORE))
    message = wrong_value("graceful_store", value, ValueError(f"{value!r} is no URL"), "a", "b")
    assert CORE not in message


def test_nothing_else_masks() -> None:
    """So that what one learns, all know."""
    from pathlib import Path

    import celery_graceful

    root = Path(celery_graceful.__file__).parent
    others = [
        path.name
        for path in root.rglob("*.py")
        if path.name != "masking.py" and re.search(r"\*\*\*['\"@]", path.read_text())
    ]
    assert others == []
