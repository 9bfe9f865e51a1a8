"""Statements, sessions and bad input: ``sources.select`` on SQLite, which is where it is fast."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    Numeric,
    String,
    TypeDecorator,
    create_engine,
    delete,
    event,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    contains_eager,
    joinedload,
    load_only,
    mapped_column,
    relationship,
    scoped_session,
    selectinload,
    sessionmaker,
)
from sqlalchemy.pool import StaticPool

from celery_graceful import sources
from celery_graceful.errors import CursorError, SourceError

TICKS = iter(range(1, 1_000_000))


class Base(DeclarativeBase):
    pass


class Upper(TypeDecorator[str]):
    """Python sees other values than the database."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value and value.lower()

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value and value.upper()


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    shout: Mapped[str] = mapped_column(Upper)
    since: Mapped[datetime]
    balance: Mapped[Decimal] = mapped_column(Numeric(20, 12))
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: next(TICKS))
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    name: Mapped[str]
    customer: Mapped[Customer | None] = relationship(back_populates="orders")


CUSTOMERS = range(1, 8)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Customer), [customer(number) for number in CUSTOMERS])
        pairs = [(number, one) for number in CUSTOMERS[:-1] for one in (1, 2)]
        rows = [{"customer_id": number, "name": f"{number}.{one}"} for number, one in pairs]
        connection.execute(insert(Order), [*rows, {"customer_id": None, "name": "lost"}])
    yield engine
    engine.dispose()


def customer(number: int) -> dict[str, Any]:
    name = "abc"[number % 3]
    since = datetime(2026, 1, 1, number % 2, 0, 0, number % 2)
    balance = Decimal("1.123456789012") + number % 2
    return {"id": number, "name": name, "shout": name, "since": since, "balance": balance}


def check(stmt: Any, target: Any, **options: Any) -> list[Any]:
    """The rows, which are the same from every cursor on."""
    whole = list(sources.select(stmt, target, batch=2, **options))
    cursors = [cursor for _, cursor in whole]
    for done, cursor in enumerate(cursors, 1):
        again = sources.select(stmt, target, cursor=cursor, batch=3, **options)
        assert [cursor for _, cursor in again] == cursors[done:]
    return [item for item, _ in whole]


# -- statements ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["id", "-name", "shout", "-since", "balance", ["name", "-id"]])
def test_columns_whose_values_python_sees_otherwise(engine: Engine, order: Any) -> None:
    for stmt in (select(Customer), select(Customer.name), select(Customer.__table__)):
        assert len(check(stmt, engine, order_by=order)) == len(CUSTOMERS)


def test_moments_that_another_program_has_written_in_another_form(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE customers SET since = '2026-01-01 00:00:00' WHERE id > 3"))
    found = check(select(Customer), engine, order_by="-since")
    assert sorted(one.id for one in found) == list(CUSTOMERS)


def test_what_rows_are(engine: Engine) -> None:
    assert check(select(Customer.id, Customer.name), engine)[0]._fields == ("id", "name")
    row = check(select(Customer.name, literal(1).label("one")), engine)[0]
    assert (row.name, row.one, len(row)) == ("b", 1, 2)
    both = check(select(Customer, Order).join(Order), engine)[0]
    assert (both.Customer.id, both.Order.name) == (1, "1.1")
    lists = list(sources.select(select(Customer.id), engine, batch=3, batches=True))
    assert [(len(rows), cursor) for rows, cursor in lists] == [(3, 3), (3, 6), (1, 7)]


def test_joins(engine: Engine) -> None:
    def cursor(stmt: Any, **options: Any) -> Any:
        assert len(check(stmt, engine, **options)) == 12
        return next(sources.select(stmt, engine, **options))[1]

    assert cursor(select(Customer.name, Order.name).join(Order)) == ["id,orders.id", 1, 1]
    # Each order has one customer, whose key says nothing more.
    assert cursor(select(Order.name, Customer.name).join(Customer)) == 1
    other = aliased(Order)
    assert cursor(select(Customer, other).join(other)) == ["id,orders_2.id", 1, 1]
    assert len(check(select(other), Session(engine), order_by="-name")) == 13
    by_name = {"order_by": ["-orders.name", "name"]}
    stmt = select(Customer.id, Order.id).join(Order)
    assert cursor(stmt, **by_name) == ["-orders.name,name,id,orders.id", "6.2", "a", 6, 12]


def test_an_outer_join_has_nulls_where_no_column_has(engine: Engine) -> None:
    stmt = select(Order.name, Customer.name).outerjoin(Customer)
    assert len(check(stmt, engine)) == len(check(stmt, engine, order_by="customers.name")) == 13
    assert next(sources.select(stmt, engine))[1] == 1  # as without the join
    whole = select(Order.name, Customer.name).join(Customer, full=True)
    assert len(check(whole, engine)) == 14
    found = check(select(Customer, Order).outerjoin(Order), engine, order_by="-orders.id")
    assert found[0].Order is None
    assert len(found) == 13


@pytest.mark.parametrize("option", [selectinload, joinedload])
def test_related_objects_are_loaded_with_each_page(engine: Engine, option: Any) -> None:
    for target in (engine, Session(engine)):
        for order in ("id", "-name"):
            found = check(select(Customer).options(option(Customer.orders)), target, order_by=order)
            assert sorted(len(one.orders) for one in found) == [0, 2, 2, 2, 2, 2, 2]
    eager = select(Order).join(Order.customer).options(contains_eager(Order.customer))
    assert len(check(eager, engine)) == 12


def test_options_that_leave_out_the_key(engine: Engine) -> None:
    stmt = select(Customer).options(load_only(Customer.balance))
    assert len(check(stmt, engine, order_by="name")) == len(CUSTOMERS)


def test_orders_of_the_statement_and_expressions(engine: Engine) -> None:
    by_name = select(Customer).order_by(Customer.name.desc(), "since")
    assert [one.name for one in check(by_name, engine)] == list("ccbbbaa")
    lower = func.lower(Customer.name).label("lower")
    stmt = select(Customer.id, lower)
    assert len(check(stmt.order_by(lower.desc()), engine)) == len(CUSTOMERS)
    assert next(sources.select(stmt, engine, order_by="-lower"))[1] == ["-lower,-id", "c", 5]
    sub = select(Customer.name, func.count().label("n")).group_by(Customer.name).subquery()
    assert check(select(sub), engine, order_by="-name", unique=True) == [
        ("c", 2),
        ("b", 3),
        ("a", 2),
    ]


def test_counts(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    both = select(Customer, Order).join(Order).where(Customer.id < 3).order_by(Order.name)
    assert sources.select(both, engine).count() is None
    assert sources.select(both, engine, count="exact").count() == 4
    assert sources.select(both, engine, count="estimate").count() is None
    assert "no estimate of a query's rows" in caplog.text


# -- sessions --------------------------------------------------------------------------------


def test_every_kind_of_session_and_no_transaction_between_pages(engine: Engine) -> None:
    session, connection = Session(engine), engine.connect()
    targets = [
        engine,
        connection,
        session,
        sessionmaker(engine),
        scoped_session(sessionmaker(engine)),
    ]
    for target in targets:
        for stmt in (select(Customer), select(Customer.name)):
            assert len(check(stmt, target)) == len(CUSTOMERS)
    for item, _ in sources.select(select(Customer), session, batch=2):
        assert not session.in_transaction()
        assert item in session
        item.name = "x"
        session.commit()
    for _ in sources.select(select(Customer), connection, batch=2):
        assert not connection.in_transaction()


def test_a_transaction_of_the_callers_own_stays(engine: Engine) -> None:
    with Session(engine) as session:
        session.execute(update(Customer).values(name="new"))
        assert {one.name for one, _ in sources.select(select(Customer), session, batch=2)} == {
            "new"
        }
        assert session.in_transaction()
    with engine.connect() as connection:
        connection.execute(update(Customer).values(name="new"))
        assert {row.name for row in check(select(Customer), connection)} == {"new"}
        connection.rollback()


def test_a_session_that_holds_an_older_row_moves_on_all_the_same(engine: Engine) -> None:
    session = Session(engine, autoflush=False)
    held = session.scalars(select(Customer)).all()
    for one in held:
        one.name = "zz"  # not flushed: the database has it otherwise
    found = check(select(Customer), session, order_by="name")
    assert sorted(one.id for one in found) == list(CUSTOMERS)


@pytest.mark.parametrize("expire", [True, False])
def test_a_commit_within_a_page_reads_the_rest_anew(engine: Engine, expire: bool) -> None:
    session = Session(engine, expire_on_commit=expire)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, k, stmt, *_: asked.append(stmt))
    seen = []
    for item, _ in sources.select(select(Customer).order_by(Customer.name), session):
        seen.append(item.id)
        item.balance += 1
        if len(seen) % 3 == 0:
            session.commit()
            if expire and len(seen) == 3:
                with engine.begin() as connection:  # not an error when its turn comes
                    connection.execute(delete(Customer).where(Customer.id == 4))
        if len(seen) == 5:
            session.rollback()
    assert seen == ([3, 6, 1, 7, 2, 5] if expire else [3, 6, 1, 4, 7, 2, 5])
    reads = [stmt for stmt in asked if stmt.startswith("SELECT")]
    assert len(reads) == (3 if expire else 2)


def test_objects_do_not_pile_up_in_a_session(engine: Engine) -> None:
    session = Session(engine)
    for _ in sources.select(select(Order), session, batch=2):
        assert len(session.identity_map) <= 4


def test_a_replica_is_another_engine(engine: Engine) -> None:
    primary = create_engine("sqlite://")
    session = Session(primary)
    assert len(check(select(Customer), engine)) == len(CUSTOMERS)
    assert not session.in_transaction()


# -- keys that move --------------------------------------------------------------------------


def test_a_task_that_moves_its_keys_is_told_so(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def run(**options: Any) -> int:
        done = 0
        for item, _ in sources.select(
            select(Customer), engine, order_by="touched", batch=2, **options
        ):
            with Session(engine) as session, session.begin():
                session.execute(update(Customer).where(Customer.id == item.id).values(name="x"))
            done += 1
        return done

    assert run(upper_bound="now") == len(CUSTOMERS)
    assert not caplog.records
    with pytest.raises(SourceError, match=r"rows that were done come again \(such as id = \d+\)"):
        run()
    assert "ordered by customers.touched, which changes with each update" in caplog.text
    assert "a row comes again (id = " in caplog.text


# -- bad input -------------------------------------------------------------------------------

C = Customer
BAD: list[tuple[Any, dict[str, Any], str]] = [
    (select(C).limit(2), {}, "has a LIMIT; leave it out: batch="),
    (select(C).offset(2), {}, "has an OFFSET; leave it out"),
    (select(C).distinct(), {}, "has DISTINCT; make it a subquery"),
    (select(C).group_by(C.id), {}, "has GROUP BY; make it a subquery"),
    (select(C.id).union(select(Order.id)), {}, "a UNION cannot be continued"),
    (
        select(func.count(C.id)),
        {},
        r"count\(customers.id\) would be computed over",
    ),
    (select(C.id, func.rank().over(order_by=C.id)), {}, "would be computed over the rows of each"),
    (C, {}, r"not DeclarativeAttributeIntercept; write sqlalchemy.select\(Customer\)"),
    (text("SELECT 1"), {}, "needs a select"),
    (select(select(C).distinct().subquery()), {}, "no primary key that is known; name columns"),
    (
        select(C).order_by(C.id),
        {"order_by": "id"},
        "an ORDER BY and there is order_by='id'",
    ),
    (select(C).with_for_update(), {}, "FOR UPDATE, and its locks would end"),
    (select(C).order_by(C.name.desc().nulls_last()), {}, "leave nulls_first"),
    (
        select(C),
        {"order_by": "nix"},
        "'nix', which the statement does not have; there are id",
    ),
    (select(C, Order).join(Order), {"order_by": "nix"}, "there are customers.id, customers.name"),
    (select(C), {"order_by": ["id", "-id"]}, "'id' twice; write it once"),
    (select(C), {"order_by": C.orders}, "needs names of columns, or columns"),
    (select(C), {"order_by": 3}, "needs names of columns, or columns, not 3"),
    (select(C), {"batch": 0}, "batch must be a whole number of 1 or more, not 0"),
    (select(C), {"count": True}, "count=True is unknown; write 'exact'"),
    (select(C), {"upper_bound": (1, 2)}, "has 2 values for the order 'id'"),
    (select(C), {"upper_bound": (None,)}, "is None for id, which is never NULL"),
]


@pytest.mark.parametrize(("stmt", "options", "message"), BAD)
def test_bad_input_is_refused_with_what_to_write(
    engine: Engine, stmt: Any, options: Any, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        next(sources.select(stmt, engine, **options))


@pytest.mark.parametrize("cursor", ["x", 1.5, ["-id", 3], ["name,id", "a"], {"id": 1}, [["id"], 1]])
def test_foreign_cursors_are_refused(engine: Engine, cursor: Any) -> None:
    with pytest.raises(CursorError, match=r"sources\.select: "):
        next(sources.select(select(Customer), engine, cursor=cursor))


def test_a_bound_is_a_value_of_the_column(engine: Engine) -> None:
    def ids(order: Any, bound: Any) -> list[int]:
        found = sources.select(select(Customer), engine, order_by=order, upper_bound=bound)
        return [one.id for one, _ in found]

    assert ids("since", datetime(2026, 1, 1)) == [2, 4, 6]
    assert ids("since", (datetime(2026, 1, 1), 4)) == [2, 4]
    assert ids("-balance", Decimal("2.123456789012")) == [7, 5, 3, 1]
    assert ids("shout", "A") == [3, 6]


@pytest.mark.parametrize("target", [None, "sqlite://", lambda: None, Session])
def test_what_is_no_place_to_run_queries_on(target: Any) -> None:
    with pytest.raises(SourceError, match="pass an Engine, a Connection, a Session"):
        sources.select(select(Customer), target)


def test_a_database_that_is_not_there_is_an_error_at_the_first_item() -> None:
    source = sources.select(select(Customer), create_engine("sqlite:////no/such/folder/x.db"))
    with pytest.raises(OperationalError, match="unable to open database file"):
        next(source)


def test_resuming_asks_for_the_rest_only(engine: Engine) -> None:
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, k, stmt, *_: asked.append(stmt))
    stmt = select(Customer.id, Customer.name)
    assert (
        next(sources.select(stmt, engine, order_by="name", cursor=["name,id", "a", 6])) is not None
    )
    assert len(asked) == 1
    assert "(customers.name, customers.id) > (?, ?)" in asked[0]
