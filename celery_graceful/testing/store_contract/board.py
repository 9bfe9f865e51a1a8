"""What every store promises of its notice board."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from celery_graceful.stores.base import Store
from celery_graceful.stores.board import Notice
from celery_graceful.testing.store_contract.samples import RUN, until

LONG = 600.0
DAY = 86400.0
NAME = "maintenance"
ANY_TEXTS = [
    "",
    "a:b{c}%3A%25%0000",
    "with space\n'quoted\" $1 %s :x ?",
    "tâche.日本 ☂ \U0001f600",
    "\x00 begins and ends with it \x00",
    "lone \ud800 and \udc00\ud800",
    "w" * 400,
]


def attended(
    store: Store, worker: str = "w", report: str = "r", known: int = -1, keep: float = LONG
) -> Notice:
    return store.attend(worker, report, keep=keep, notice=NAME, known=known)


def reports(store: Store) -> dict[str, str]:
    return {worker: report for worker, report, _ in store.attendance()}


def posted(notice: Notice | None) -> tuple[int, str]:
    assert notice is not None, "the post was refused"
    return notice.version, notice.text


class NoticeContract:
    def test_nobody_has_posted_a_notice(self, store: Store) -> None:
        for notice in (store.read_notice(NAME), attended(store, known=0), attended(store)):
            assert (notice.version, notice.text) == (0, "")

    def test_a_notice_is_posted_and_replaced(self, store: Store) -> None:
        assert posted(store.post_notice(NAME, 0, "one")) == (1, "one")
        assert posted(store.read_notice(NAME)) == (1, "one")
        assert posted(store.post_notice(NAME, 1, "two")) == (2, "two")
        assert posted(store.post_notice(NAME, 2, "")) == (3, "")
        assert posted(store.read_notice(NAME)) == (3, "")

    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_a_post_at_another_version_is_refused(self, store: Store, expected: int) -> None:
        store.post_notice(NAME, 0, "one")
        store.post_notice(NAME, 1, "two")
        assert store.post_notice(NAME, expected, "three") is None
        assert posted(store.read_notice(NAME)) == (2, "two")

    def test_a_version_may_be_given(self, store: Store) -> None:
        high = 1_900_000_000_000
        assert posted(store.post_notice(NAME, 0, "one", version=high)) == (high, "one")
        assert posted(store.post_notice(NAME, high, "two", version=high + 5)) == (high + 5, "two")
        assert store.post_notice(NAME, 0, "three", version=high + 9) is None
        assert posted(store.read_notice(NAME)) == (high + 5, "two")
        assert posted(store.post_notice(NAME, high + 5, "four")) == (high + 6, "four")

    def test_a_post_at_a_version_without_a_notice_is_refused(self, store: Store) -> None:
        assert store.post_notice(NAME, 1, "text") is None
        assert store.read_notice(NAME).version == 0

    @pytest.mark.parametrize("expected", [0, 1])
    def test_one_of_many_posters_wins(
        self, store: Store, open_store: Callable[[str], Store], expected: int
    ) -> None:
        stores = [open_store("test") for _ in range(8)]
        for round_ in range(5):
            name = f"{NAME} {round_}"
            if expected:
                store.post_notice(name, 0, "first")
            answers = _posts_at_once(stores, name, expected)
            (winner,) = [answer for answer in answers if answer is not None]
            assert winner.version == expected + 1
            assert posted(store.read_notice(name)) == posted(winner)

    def test_a_notice_tells_the_time_of_the_store(self, store: Store) -> None:
        times = [store.load(RUN).now, store.read_notice(NAME).now]
        post = store.post_notice(NAME, 0, "text")
        assert post is not None
        times += [post.now, attended(store).now, store.read_notice(NAME).now, store.load(RUN).now]
        assert times == sorted(times)
        assert abs(times[0] - time.time()) < DAY, "not in Unix seconds"

    @pytest.mark.parametrize("name", ANY_TEXTS)
    def test_a_notice_of_any_name_and_text(self, store: Store, name: str) -> None:
        for version, text in enumerate(ANY_TEXTS):
            assert posted(store.post_notice(name, version, text)) == (version + 1, text)
            assert posted(store.read_notice(name)) == (version + 1, text)

    def test_names_that_look_alike_are_different_notices(self, store: Store) -> None:
        names = ["a:b", "a%3Ab", "a", "A", "a\x00", "a%00", "a%0000", "%", "%25", "å", "a\u030a"]
        for name in names:
            assert store.post_notice(name, 0, f"text of {name}"), name
        for name in names:
            assert store.read_notice(name).text == f"text of {name}"

    def test_a_long_notice(self, store: Store) -> None:
        text = "\x00é☂\r\n$-1'%" * 100_000
        store.post_notice(NAME, 0, text)
        assert store.read_notice(NAME).text == text
        assert attended(store, report=text).text == text
        assert reports(store) == {"w": text}


class BoardContract(NoticeContract):
    def test_a_report_comes_back_with_its_age(self, store: Store) -> None:
        began = time.monotonic()
        attended(store, report="one")
        ((worker, report, age),) = store.attendance()
        assert (worker, report) == ("w", "one")
        assert 0 <= age < time.monotonic() - began + 5
        until(lambda: store.attendance()[0].age > age + 0.5, "the report to grow older")
        began = time.monotonic()
        attended(store, report="two")
        ((worker, report, age),) = store.attendance()
        assert (worker, report) == ("w", "two")
        assert 0 <= age < time.monotonic() - began + 0.1, "younger than the first one"

    def test_reports_come_by_the_names_of_workers(self, store: Store) -> None:
        for worker in ["c", "B", "a:2", "a:10", "é"]:
            attended(store, worker, f"of {worker}")
        found = store.attendance()
        assert [it.worker for it in found] == ["B", "a:10", "a:2", "c", "é"]
        assert [it.report for it in found] == [f"of {it.worker}" for it in found]

    def test_who_attends_reads_the_notice(self, store: Store) -> None:
        store.post_notice(NAME, 0, "one")
        store.post_notice("other", 0, "not this")
        assert posted(attended(store)) == (1, "one")
        assert posted(attended(store, known=1)) == (1, "")
        store.post_notice(NAME, 1, "two")
        assert posted(attended(store, known=1)) == (2, "two")
        assert posted(attended(store, known=3)) == (2, "two"), "it knows another, later one"

    def test_a_poster_finds_the_worker_or_the_worker_finds_the_notice(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        posts = 12
        done = threading.Event()

        def attend_on_and_on(number: int) -> dict[str, int]:
            own = open_store("test")
            versions: dict[str, int] = {}
            while not done.is_set():
                worker = f"w{number}-{len(versions)}"
                versions[worker] = attended(own, worker).version
            return versions

        with ThreadPoolExecutor(4) as pool:
            attending = [pool.submit(attend_on_and_on, number) for number in range(4)]
            try:
                seen = [_post_and_look(store, version) for version in range(posts)]
            finally:
                done.set()
            read = {worker: version for it in attending for worker, version in it.result().items()}
        missed = {
            worker: version
            for worker, version in read.items()
            if version < posts and worker not in seen[version]
        }
        assert not missed, "they have read an older version, and the poster did not see them"

    def test_a_report_is_kept_for_its_time(self, store: Store) -> None:
        attended(store, "gone", keep=0.3)
        attended(store, "renewed", "one", keep=0.3)
        attended(store, "renewed", "two", keep=LONG)
        attended(store, "there")
        until(lambda: "gone" not in reports(store), "the report to be forgotten")
        assert reports(store) == {"renewed": "two", "there": "r"}
        attended(store, "gone", "again")
        assert reports(store)["gone"] == "again"

    def test_the_last_keep_counts(self, store: Store) -> None:
        attended(store, keep=LONG)
        attended(store, keep=0.2)
        until(lambda: not reports(store), "the report to be forgotten")

    def test_who_leaves_is_forgotten(self, store: Store) -> None:
        for worker in "abc":
            attended(store, worker)
        store.leave("b")
        store.leave("b")
        store.leave("nobody")
        assert list(reports(store)) == ["a", "c"]
        attended(store, "b")
        assert list(reports(store)) == ["a", "b", "c"]

    @pytest.mark.parametrize("worker", ANY_TEXTS)
    def test_a_worker_of_any_name_and_report(self, store: Store, worker: str) -> None:
        for report in ANY_TEXTS:
            attended(store, worker, report)
            assert reports(store) == {worker: report}
        store.leave(worker)
        assert reports(store) == {}

    def test_many_workers_attend_at_once(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        stores = [open_store("test") for _ in range(4)]
        workers = [f"w{number % 20:02}" for number in range(80)]

        def attend(number: int) -> None:
            attended(stores[number % 4], workers[number], f"report of {workers[number]}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(attend, range(80)))
        assert reports(store) == {worker: f"report of {worker}" for worker in workers}

    def test_namespaces_have_boards_of_their_own(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        other = open_store("other")
        store.post_notice(NAME, 0, "here")
        attended(store, "here")
        assert other.read_notice(NAME).version == attended(other, "there").version == 0
        assert posted(other.post_notice(NAME, 0, "there")) == (1, "there")
        assert list(reports(other)) == ["there"]
        other.leave("here")
        assert list(reports(store)) == ["here"]
        assert store.read_notice(NAME).text == "here"

    def test_the_board_outlives_a_store(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        store.post_notice(NAME, 0, "text")
        attended(store)
        store.close()
        for again in (store, open_store("test")):
            assert again.read_notice(NAME).text == "text"
            assert reports(again) == {"w": "r"}


def _post_and_look(store: Store, version: int) -> set[str]:
    until(lambda: len(store.attendance()) > 4 * version, "workers to attend")
    assert store.post_notice(NAME, version, "text")
    return set(reports(store))


def _posts_at_once(stores: list[Store], name: str, expected: int) -> list[Notice | None]:
    start = threading.Barrier(len(stores))

    def post(number: int) -> Notice | None:
        start.wait(10)
        return stores[number].post_notice(name, expected, f"text of {number}")

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(post, range(len(stores))))
