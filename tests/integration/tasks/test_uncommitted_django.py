"""With Django: no checkpoint runs ahead of an open ``atomic()`` block, also at a graceful stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.servers import Postgres

ROOT = Path(__file__).resolve().parents[3]
#: A block is open at the yield, or when ``each_iteration`` returns.
OPEN = {
    "a_page": "block on the Django database 'default'",
    "a_later_page": "block on the Django database 'default'",
    "nested": "block on the Django database 'default'",
    "another_alias": "block on the Django database 'other'",
    "no_autocommit": "a transaction on the Django database 'default', without autocommit",
    "begun_by_hand": "a transaction on the Django database 'default', without autocommit",
    "around_all": "block on the Django database 'default'",
    "locked": "block on the Django database 'default'",
    "locked_later": "block on the Django database 'default'",
}
#: How many rows are committed when the stop comes at item 41.
COMMITTED = {"a_page": 0, "around_all": 0, "locked": 0}
FINE = ("each_item", "a_page_as_item")


#: Before production: called directly, within the block of a test case, by ``assert_resumable``.
EARLIER = ("eagerly", "within_a_transaction", "as_checked")


def found_in(database: dict[str, Any], *ways: str) -> dict[str, Any]:
    """What the cases came to, each tried in these ways, in one process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.tasks.django_work", json.dumps(database), *ways],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("django")
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/ALIAS.db"}
    return found_in(database, "in_a_worker", *EARLIER)


@pytest.fixture(scope="module")
def postgres(postgres_server: Postgres) -> dict[str, Any]:
    with postgres_server.database() as default:
        url = make_url(default)
        return found_in(
            {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.database,
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.host,
                "PORT": url.port,
            },
            "in_a_worker",
        )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def found(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("case", OPEN)
def test_a_stop_within_an_open_block_loses_no_row(found: Any, case: str) -> None:
    told = found[case]["in_a_worker"]
    assert told["error"].startswith("TransactionError: proj.work: its checkpoint at cursor ")
    assert OPEN[case] in told["error"]
    assert "before the yield" in told["error"]
    assert "atomic = Atomic.django()" in told["error"]
    assert told["rows"] == list(range(COMMITTED.get(case, 40)))
    assert told["saved"] is None or told["saved"] in told["rows"], "saved ahead of the rows"


@pytest.mark.parametrize("case", OPEN)
@pytest.mark.parametrize("way", EARLIER)
def test_it_is_reported_before_production(sqlite: Any, case: str, way: str) -> None:
    if way == "within_a_transaction" and case in ("no_autocommit", "begun_by_hand"):
        pytest.skip("not possible within a block")
    told = sqlite[case][way]["error"]
    assert "TransactionError" in told
    assert OPEN[case] in told
    if way == "as_checked":
        assert "commit before it, or use the option atomic" in told


def test_a_block_that_is_left_open_at_the_end(found: Any) -> None:
    for told in found["left_open_at_the_end"].values():
        assert "TransactionError" in told["error"]


@pytest.mark.parametrize("case", FINE)
def test_what_is_committed_before_the_yield_is_fine(found: Any, case: str) -> None:
    told = found[case]["in_a_worker"]
    assert (told["error"], told["executions"]) == (None, 2)
    assert told["rows"] == list(range(90))
    assert all(told["error"] is None for told in found[case].values())


def test_an_error_within_an_open_block_repeats_what_it_undoes(found: Any) -> None:
    """The block was opened after the last look, so nothing has told before."""
    told = found["locked_and_failed"]["in_a_worker"]
    assert told["executions"] == 2
    assert told["rows"] == list(range(90))


def test_no_connection_is_opened_for_it(found: Any) -> None:
    assert found["connected"] == []
