"""What every store promises of named texts: notices and reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from celery_graceful.stores.base import NOTICES, REPORTS, Store, Text
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


def post(
    store: Store, expected: int, text: str, *, name: str = NAME, version: int | None = None
) -> tuple[int, str] | None:
    """Write a notice by compare-and-set; its version and text, ``None`` when refused."""
    written = store.write_text(NOTICES, name, text, expected=expected, version=version)
    return None if written is None else (written.version, written.text)


def posted(store: Store, name: str = NAME) -> tuple[int, str]:
    """Version and text of a notice."""
    found = store.read_text(NOTICES, name)
    return found.version, found.text


def report(store: Store, worker: str = "w", text: str = "r", keep: float = LONG) -> None:
    assert store.write_text(REPORTS, worker, text, keep=keep) is not None


def reports(store: Store) -> dict[str, str]:
    return {found.name: found.text for found in store.texts(REPORTS)}


class NoticeContract:
    def test_nobody_has_written_a_notice(self, store: Store) -> None:
        assert posted(store) == (0, "")
        assert store.texts(NOTICES) == []

    def test_a_notice_is_written_and_replaced(self, store: Store) -> None:
        assert post(store, 0, "one") == posted(store) == (1, "one")
        assert post(store, 1, "two") == (2, "two")
        assert post(store, 2, "") == posted(store) == (3, "")

    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_a_write_at_another_version_is_refused(self, store: Store, expected: int) -> None:
        post(store, 0, "one")
        post(store, 1, "two")
        assert post(store, expected, "three") is None
        assert posted(store) == (2, "two")

    def test_a_version_may_be_given(self, store: Store) -> None:
        high = 1_900_000_000_000
        assert post(store, 0, "one", version=high) == (high, "one")
        assert post(store, high, "two", version=high + 5) == (high + 5, "two")
        assert post(store, 0, "three", version=high + 9) is None
        assert posted(store) == (high + 5, "two")
        assert post(store, high + 5, "four") == (high + 6, "four")

    def test_a_write_at_a_version_without_a_notice_is_refused(self, store: Store) -> None:
        assert post(store, 1, "text") is None
        assert posted(store) == (0, "")

    @pytest.mark.parametrize("expected", [0, 1])
    def test_one_of_many_writers_wins(
        self, store: Store, open_store: Callable[[str], Store], expected: int
    ) -> None:
        stores = [open_store("test") for _ in range(8)]
        for round_ in range(5):
            name = f"{NAME} {round_}"
            if expected:
                post(store, 0, "first", name=name)
            answers = _writes_at_once(stores, name, expected)
            (winner,) = [answer for answer in answers if answer is not None]
            assert winner.version == expected + 1
            assert posted(store, name) == (winner.version, winner.text)

    def test_a_text_tells_the_time_of_the_store(self, store: Store) -> None:
        times = [store.load(RUN).now, store.read_text(NOTICES, NAME).now]
        written = store.write_text(NOTICES, NAME, "text", expected=0)
        assert written is not None
        found = store.read_text(NOTICES, NAME)
        times += [written.now, found.now, store.load(RUN).now]
        assert times == sorted(times)
        assert abs(times[0] - time.time()) < DAY, "not in Unix seconds"
        assert times[1] <= found.written_at <= found.now

    @pytest.mark.parametrize("name", ANY_TEXTS)
    def test_a_notice_of_any_name_and_text(self, store: Store, name: str) -> None:
        for version, text in enumerate(ANY_TEXTS):
            assert post(store, version, text, name=name) == (version + 1, text)
            assert posted(store, name) == (version + 1, text)
        assert [found.name for found in store.texts(NOTICES)] == [name]

    def test_names_that_look_alike_are_different_notices(self, store: Store) -> None:
        names = ["a:b", "a%3Ab", "a", "A", "a\x00", "a%00", "a%0000", "%", "%25", "å", "a\u030a"]
        for name in names:
            assert post(store, 0, f"text of {name}", name=name), name
        for name in names:
            assert posted(store, name) == (1, f"text of {name}")

    def test_a_long_text(self, store: Store) -> None:
        text = "\x00é☂\r\n$-1'%" * 100_000
        post(store, 0, text)
        assert posted(store) == (1, text)
        report(store, text=text)
        assert reports(store) == {"w": text}


class TextContract(NoticeContract):
    def test_a_report_comes_back_with_its_age(self, store: Store) -> None:
        began = time.monotonic()
        report(store, text="one")
        (found,) = store.texts(REPORTS)
        assert (found.name, found.text) == ("w", "one")
        assert 0 <= found.age < time.monotonic() - began + 5
        until(lambda: store.texts(REPORTS)[0].age > found.age + 0.5, "the report to grow older")
        began = time.monotonic()
        report(store, text="two")
        (again,) = store.texts(REPORTS)
        assert (again.name, again.text) == ("w", "two")
        assert 0 <= again.age < time.monotonic() - began + 0.1, "younger than the first one"

    def test_reports_come_by_name(self, store: Store) -> None:
        for worker in ["c", "B", "a:2", "a:10", "é"]:
            report(store, worker, f"of {worker}")
        found = store.texts(REPORTS)
        assert [it.name for it in found] == ["B", "a:10", "a:2", "c", "é"]
        assert [it.text for it in found] == [f"of {it.name}" for it in found]

    def test_kinds_are_apart(self, store: Store) -> None:
        post(store, 0, "the notice")
        report(store, NAME, "the report")
        assert posted(store) == (1, "the notice")
        assert reports(store) == {NAME: "the report"}
        store.delete_text(REPORTS, NAME)
        assert posted(store) == (1, "the notice")

    def test_a_poster_finds_the_worker_or_the_worker_finds_the_notice(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        """A worker reports and then reads; what it wrote is seen before the write returns."""
        posts = 12
        done = threading.Event()

        def report_and_read(number: int) -> dict[str, int]:
            own = open_store("test")
            versions: dict[str, int] = {}
            while not done.is_set():
                worker = f"w{number}-{len(versions)}"
                report(own, worker)
                versions[worker] = posted(own)[0]
            return versions

        with ThreadPoolExecutor(4) as pool:
            reporting = [pool.submit(report_and_read, number) for number in range(4)]
            try:
                seen = [_post_and_look(store, version) for version in range(posts)]
            finally:
                done.set()
            read = {worker: version for it in reporting for worker, version in it.result().items()}
        missed = {
            worker: version
            for worker, version in read.items()
            if version < posts and worker not in seen[version]
        }
        assert not missed, "they have read an older version, and the poster did not see them"

    def test_a_report_is_kept_for_its_time(self, store: Store) -> None:
        report(store, "gone", keep=0.3)
        report(store, "renewed", "one", keep=0.3)
        report(store, "renewed", "two", keep=LONG)
        report(store, "there")
        until(lambda: "gone" not in reports(store), "the report to be forgotten")
        assert store.read_text(REPORTS, "gone").version == 0
        assert reports(store) == {"renewed": "two", "there": "r"}
        report(store, "gone", "again")
        assert reports(store)["gone"] == "again"

    def test_what_has_expired_is_not_there_for_a_write(self, store: Store) -> None:
        def write(expected: int) -> Text | None:
            return store.write_text(NOTICES, NAME, "text", expected=expected, keep=0.2)

        assert write(0) is not None
        until(lambda: posted(store) == (0, ""), "the text to be forgotten")
        assert write(1) is None
        assert write(0) is not None

    def test_the_last_keep_counts(self, store: Store) -> None:
        report(store, keep=LONG)
        report(store, keep=0.2)
        until(lambda: not reports(store), "the report to be forgotten")

    def test_a_deleted_report_is_forgotten(self, store: Store) -> None:
        for worker in "abc":
            report(store, worker)
        store.delete_text(REPORTS, "b")
        store.delete_text(REPORTS, "b")
        store.delete_text(REPORTS, "nobody")
        assert list(reports(store)) == ["a", "c"]
        report(store, "b")
        assert list(reports(store)) == ["a", "b", "c"]

    @pytest.mark.parametrize("worker", ANY_TEXTS)
    def test_a_worker_of_any_name_and_report(self, store: Store, worker: str) -> None:
        for text in ANY_TEXTS:
            report(store, worker, text)
            assert reports(store) == {worker: text}
        store.delete_text(REPORTS, worker)
        assert reports(store) == {}

    def test_many_workers_report_at_once(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        stores = [open_store("test") for _ in range(4)]
        workers = [f"w{number % 20:02}" for number in range(80)]

        def write(number: int) -> None:
            report(stores[number % 4], workers[number], f"report of {workers[number]}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(80)))
        assert reports(store) == {worker: f"report of {worker}" for worker in workers}

    def test_namespaces_have_texts_of_their_own(
        self, store: Store, open_store: Callable[[str], Store]
    ) -> None:
        other = open_store("other")
        post(store, 0, "here")
        report(store, "here")
        assert posted(other) == (0, "")
        assert post(other, 0, "there") == (1, "there")
        report(other, "there")
        assert list(reports(other)) == ["there"]
        other.delete_text(REPORTS, "here")
        assert list(reports(store)) == ["here"]
        assert posted(store) == (1, "here")

    def test_texts_outlive_a_store(self, store: Store, open_store: Callable[[str], Store]) -> None:
        post(store, 0, "text")
        report(store)
        store.close()
        for again in (store, open_store("test")):
            assert posted(again) == (1, "text")
            assert reports(again) == {"w": "r"}


def _post_and_look(store: Store, version: int) -> set[str]:
    until(lambda: len(store.texts(REPORTS)) > 4 * version, "workers to report")
    assert post(store, version, "text")
    return set(reports(store))


def _writes_at_once(stores: list[Store], name: str, expected: int) -> list[Text | None]:
    start = threading.Barrier(len(stores))

    def write(number: int) -> Text | None:
        start.wait(10)
        return stores[number].write_text(NOTICES, name, f"text of {number}", expected=expected)

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(write, range(len(stores))))
