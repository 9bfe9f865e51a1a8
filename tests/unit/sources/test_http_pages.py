"""Pages of an API whose data changes, whose tokens expire, and that goes round in circles."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import SKIPPED, TokenExpired, pages

Item = dict[str, Any]


def known_by(item: Item) -> int:
    return int(item["id"])


class Api:
    """Items by id, in pages that a token begins: the id of the last item before it."""

    def __init__(self, ids: list[int], size: int = 3) -> None:
        self.ids = list(ids)
        self.size = size
        self.requests: list[Any] = []
        #: Tokens of this generation are accepted.
        self.generation = 0

    def page(self, token: Any) -> tuple[list[Item], Any]:
        self.requests.append(token)
        after = -1
        if token is not None:
            generation, after = token
            if generation != self.generation:
                raise TokenExpired(f"of generation {generation}")
        left = [n for n in sorted(self.ids) if n > after]
        found = left[: self.size]
        more = [self.generation, found[-1]] if len(left) > self.size else None
        return [{"id": n} for n in found], more

    def numbered(self, token: Any) -> tuple[list[Item], Any]:
        """The same in numbered pages, the newest first."""
        self.requests.append(token)
        number = token or 1
        shown = sorted(self.ids, reverse=True)
        found = shown[(number - 1) * self.size : number * self.size]
        return [{"id": n} for n in found], number + 1 if number * self.size < len(shown) else None


def saved(cursor: Any) -> Any:
    return json.loads(json.dumps(cursor))


def ids(source: Any) -> list[int]:
    return [known_by(item) for item, _ in source]


@given(st.integers(0, 12), st.integers(1, 5), st.booleans(), st.booleans())
def test_at_any_cut(length: int, size: int, has_key: bool, is_numbered: bool) -> None:
    api = Api(list(range(length)), size)
    function = api.numbered if is_numbered else api.page
    key = known_by if has_key else None
    pairs = list(pages(function, key=key))
    every = [known_by(item) for item, _ in pairs]
    assert sorted(every) == list(range(length))
    for done, (_, cursor) in enumerate(pairs, 1):
        assert ids(pages(function, cursor=saved(cursor), key=key)) == every[done:]


def test_a_page_is_requested_when_it_is_needed_and_none_twice() -> None:
    api = Api(list(range(6)))
    source = pages(api.page)
    assert api.requests == []
    for _ in range(3):
        _, cursor = next(source)
    assert api.requests == [None]
    assert cursor == [[0, 2], -1]
    assert ids(pages(api.page, cursor=cursor)) == [3, 4, 5]
    assert api.requests == [None, [0, 2]]


@given(
    st.sets(st.integers(0, 40), max_size=14),
    st.integers(1, 5),
    st.builds(random.Random, st.integers(0, 10**6)),
)
def test_items_come_and_go_and_tokens_expire(
    numbered: set[int], size: int, chances: random.Random
) -> None:
    """What is there all the time is done, by a key, whatever changes between executions."""
    api, cursor, done = Api(sorted(numbered), size), None, []
    ever = set(numbered)
    while True:
        source: Any = pages(
            api.page, cursor=saved(cursor), key=known_by, on_expired="restart", on_missing="repeat"
        )
        ended = True
        for item, cursor in source:  # noqa: B007
            done.append(known_by(item))
            if chances.random() < 0.4:
                ended = False
                break
        if ended:
            break
        new = chances.randrange(50)
        if api.ids and chances.random() < 0.3:
            api.ids.remove(chances.choice(api.ids))
        if new not in ever and chances.random() < 0.4:
            api.ids.append(new)
            ever.add(new)
        api.generation += chances.random() < 0.3
    assert numbered & set(api.ids) <= set(done)


def part_of(api: Api, taken: int, function: Callable[..., Any], **options: Any) -> Any:
    """The cursor after so many items."""
    source = pages(function, **options)
    for _ in range(taken):
        _, cursor = next(source)
    return saved(cursor)


def test_an_item_inserted_in_front() -> None:
    api = Api([1, 2, 3, 4, 5, 6], 4)
    cursor = part_of(api, 2, api.numbered, key=known_by)  # 6, 5
    assert cursor == [None, 1, 5]
    api.ids.append(7)
    assert ids(pages(api.numbered, cursor=cursor, key=known_by)) == [4, 3, 2, 1]


def test_an_item_deleted_in_front() -> None:
    api = Api([1, 2, 3, 4, 5, 6], 4)
    cursor = part_of(api, 2, api.page, key=known_by)
    api.ids.remove(1)
    assert ids(pages(api.page, cursor=cursor, key=known_by)) == [3, 4, 5, 6]


def test_the_last_item_done_is_not_there_any_more() -> None:
    api = Api([1, 2, 3, 4, 5, 6], 4)
    cursor = part_of(api, 2, api.page, key=known_by)
    api.ids.remove(2)
    with pytest.raises(SourceError, match=r"item that was done, 2, .* on_missing='repeat'"):
        next(pages(api.page, cursor=cursor, key=known_by))
    source = pages(api.page, cursor=cursor, key=known_by, on_missing="repeat")
    assert ids(source) == [1, 3, 4, 5, 6]


def test_a_page_that_is_shorter_now() -> None:
    api = Api([1, 2, 3, 4], 4)
    cursor = part_of(api, 3, api.page)
    api.ids = [1, 2]
    with pytest.raises(SourceError, match=r"has 2 items now, and item 2, .* With key="):
        next(pages(api.page, cursor=cursor))
    assert ids(pages(api.page, cursor=[None, -1])) == [1, 2]


# -- tokens ----------------------------------------------------------------------------------


def test_an_expired_token_is_an_error_that_says_what_to_do() -> None:
    api = Api(list(range(9)))
    cursor = part_of(api, 4, api.page)
    api.generation = 1
    with pytest.raises(SourceError, match=r"the token \[0, 2\] has expired .*on_expired='restart'"):
        next(pages(api.page, cursor=cursor))


def test_an_expired_token_begins_at_the_first_page_and_repeats_nothing() -> None:
    api = Api(list(range(9)))
    options: Any = {"key": known_by, "on_expired": "restart"}
    for taken in range(4, 9):
        cursor = part_of(api, taken, api.page, **options)
        api.generation += 1
        source = pages(api.page, cursor=cursor, **options)
        assert ids(source) == list(range(taken, 9))


def test_a_token_that_expires_within_an_execution() -> None:
    api, seen = Api(list(range(9))), []
    for item, _ in pages(api.page, key=known_by, on_expired="restart"):
        seen.append(known_by(item))
        if len(seen) in (2, 5):
            api.generation += 1
    assert seen == list(range(9))


def test_a_stop_is_seen_while_the_last_item_is_looked_for() -> None:
    api = Api(list(range(9)), 2)
    cursor = part_of(api, 7, api.page, key=known_by)
    api.generation = 1
    source = pages(api.page, cursor=cursor, key=known_by, on_expired="restart")
    assert [item is SKIPPED for item, _ in source.marked] == [True, True, True, False, False]


def test_the_last_item_done_is_on_no_page() -> None:
    api = Api(list(range(9)))
    cursor = part_of(api, 5, api.page, key=known_by)
    api.ids.remove(4)
    api.generation = 1
    options: Any = {"cursor": cursor, "key": known_by, "on_expired": "restart"}
    with pytest.raises(SourceError, match="4, is not on any page any more"):
        next(pages(api.page, **options))
    assert ids(pages(api.page, **options, on_missing="repeat")) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_tokens_that_do_not_last_are_no_endless_loop() -> None:
    api = Api(list(range(9)), 2)
    cursor = part_of(api, 7, api.page, key=known_by)

    def hasty(token: Any) -> Any:
        api.generation += 1
        return api.page(token)

    with pytest.raises(SourceError, match="again before any further item was reached"):
        next(pages(hasty, cursor=cursor, key=known_by, on_expired="restart"))


def test_exceptions_of_the_library_that_is_used() -> None:
    class Gone(Exception):
        pass

    def page(token: Any) -> Any:
        raise Gone(token)

    with pytest.raises(SourceError, match="token 'x' has expired"):
        next(pages(page, cursor=["x", -1], expired=Gone))
    with pytest.raises(SourceError, match="for the first page, which has no token"):
        next(pages(page, expired=(KeyError, Gone)))
    with pytest.raises(Gone):
        next(pages(page, cursor=["x", -1]))


@pytest.mark.parametrize("circle", [1, 2, 3, 7])
def test_pages_that_go_round_in_a_circle(circle: int) -> None:
    def page(token: Any) -> tuple[list[int], int]:
        return [1], (token or 0) % circle + 1

    with pytest.raises(SourceError, match="so the pages would never end"):
        list(islice(pages(page), 50))


def test_empty_pages() -> None:
    answers: dict[Any, Any] = {None: ([], "a"), "a": ([1], "b"), "b": ([], "c"), "c": ([], "")}
    source = pages(answers.__getitem__)
    assert list(source.with_skipped()) == [
        (SKIPPED, ["a", -1]),
        (1, ["b", -1]),
        (SKIPPED, ["c", -1]),
    ]
    assert list(pages(answers.__getitem__)) == [(1, ["b", -1])]


# -- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, [1, 2, 3], 7, ("abc", None), ({"items": []}, None)])
def test_what_the_function_has_to_return(answer: Any) -> None:
    with pytest.raises(SourceError, match=r"has to return \(items, next_token\)"):
        next(pages(lambda token: answer))


@pytest.mark.parametrize(
    "cursor", [7, "abc", [1], ["a", "b"], ["a", -2], ["a", True], [1, 2, 3, 4]]
)
def test_foreign_cursors(cursor: Any) -> None:
    with pytest.raises(CursorError, match=r"the cursor must be \[token, index"):
        pages(Api([]).page, cursor=cursor, key=known_by)


def test_a_cursor_with_a_key_needs_the_key() -> None:
    with pytest.raises(CursorError, match="pass key= as before"):
        pages(Api([]).page, cursor=["a", 0, 7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": 3}, "needs a function"),
        ({"key": "id"}, "key must be a function"),
        ({"expired": 404}, "expired must be an exception class"),
        ({"on_expired": "skip"}, '"error" or "restart", not \'skip\''),
        ({"on_missing": "skip"}, '"error" or "repeat"'),
        ({"on_expired": "restart"}, "needs key="),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    function = options.pop("function", Api([]).page)
    with pytest.raises((TypeError, ValueError), match=message):
        pages(function, **options)
