from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_graceful.errors import SettingsError
from celery_graceful.settings import (
    OPTIONS,
    SETTINGS,
    Settings,
    option_problems,
    parse_option,
    problems,
    read,
)
from tests.unit import doc_tables

MakeApp = Callable[..., Any]


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    apps: list[Any] = []

    def make(source: object = None, namespace: str | None = None, **kwargs: Any) -> Any:
        app = Celery("settings-test", set_as_current=False, **kwargs)
        apps.append(app)
        if source is not None:
            app.config_from_object(source, namespace=namespace)
        return app

    yield make
    for app in apps:
        app.close()


class TestTable:
    def test_table_and_dataclass_agree(self) -> None:
        fields = [field.name for field in dataclasses.fields(Settings)]
        assert [line.attribute for line in SETTINGS.values()] == fields

    @pytest.mark.parametrize("line", SETTINGS.values(), ids=lambda line: line.name)
    def test_default_and_example_are_right_values(self, line: Any) -> None:
        assert line.parse(line.default) == line.default
        line.parse(eval(line.example))
        assert line.meaning.endswith(".")

    def test_options_are_settings(self) -> None:
        assert set(OPTIONS) == {
            "checkpoint_interval",
            "max_execution_time",
            "max_crashes",
            "resume_queue",
            "resume_priority",
        }

    def test_markdown(self) -> None:
        table = doc_tables.settings()
        lines = table.splitlines()
        assert len(lines) == len(SETTINGS) + 2
        assert all(line.count(" | ") == 3 for line in lines if "---" not in line)
        assert "`graceful_run_retention` | `604800` (7d)" in table


class TestRead:
    def test_defaults(self, make_app: MakeApp) -> None:
        settings = read(make_app().conf)
        assert settings == read({})
        assert settings.store is None
        assert settings.checkpoint_interval == 1.0
        assert settings.max_execution_time is None
        assert settings.run_retention == 7 * 24 * 3600
        assert settings.progress is True

    def test_values_are_parsed(self) -> None:
        settings = read(
            {
                "graceful_store": "sqlite:///runs.db",
                "graceful_checkpoint_interval": "500ms",
                "graceful_run_retention": timedelta(days=1),
                "graceful_max_execution_time": "1h30m",
                "graceful_max_crashes": 0,
                "graceful_progress": False,
                "broker_url": "memory://",
            }
        )
        assert settings.store == "sqlite:///runs.db"
        assert settings.checkpoint_interval == 0.5
        assert settings.run_retention == 86400
        assert settings.max_execution_time == 5400
        assert settings.max_crashes == 0
        assert settings.progress is False

    @pytest.mark.parametrize("namespace", ["CELERY", "CELERY_", "SHOP"])
    def test_upper_case_namespace(self, make_app: MakeApp, namespace: str) -> None:
        start = namespace.rstrip("_")
        source = SimpleNamespace(**{f"{start}_GRACEFUL_LEASE_TTL": 5, "GRACEFUL_TIMEOUT": 9})
        app = make_app(source, namespace)
        assert read(app.conf).lease_ttl == 5
        assert problems(app.conf) == []

    def test_lower_case_namespace(self, make_app: MakeApp) -> None:
        app = make_app(SimpleNamespace(celery_graceful_lease_ttl=5), "celery")
        assert read(app.conf).lease_ttl == 5

    def test_config_object_dict_update_attribute_and_keyword(self, make_app: MakeApp) -> None:
        class Config:
            graceful_lease_ttl = 5

        updated, set_on, both = make_app(), make_app(), make_app(Config)
        updated.conf.update(graceful_lease_ttl=5)
        set_on.conf.graceful_lease_ttl = 5
        both.conf.graceful_run_retention = "1d"
        keyword = make_app(graceful_lease_ttl=5)
        from_dict = make_app({"graceful_lease_ttl": 5})
        for app in (updated, set_on, both, keyword, from_dict):
            assert read(app.conf).lease_ttl == 5
        assert read(both.conf).run_retention == 86400

    def test_what_is_set_on_the_app_wins(self, make_app: MakeApp) -> None:
        app = make_app(SimpleNamespace(CELERY_GRACEFUL_LEASE_TTL=5), "CELERY")
        assert read(app.conf).lease_ttl == 5
        app.conf.graceful_lease_ttl = 6
        assert read(app.conf).lease_ttl == 6

    def test_reading_does_not_finalize_the_app(self, make_app: MakeApp) -> None:
        app = make_app()
        read(app.conf)
        assert not app.finalized

    def test_all_problems_in_one_error(self) -> None:
        with pytest.raises(SettingsError) as caught:
            read({"graceful_stor": "memory://", "graceful_checkpoint_interval": 0})
        assert "graceful_stor is unknown" in str(caught.value)
        assert "graceful_checkpoint_interval = 0 is wrong" in str(caught.value)


class TestUnknown:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("graceful_stor", "graceful_store"),
            ("graceful_max_crash", "graceful_max_crashes"),
            ("graceful_interval_checkpoint", "graceful_checkpoint_interval"),
            ("gracefull_store", "graceful_store"),
            ("gracefulstore", "graceful_store"),
        ],
    )
    def test_nearest_name(self, name: str, nearest: str) -> None:
        [message] = problems({name: 1})
        assert message == f"The setting {name} is unknown; did you mean {nearest}?"

    @pytest.mark.parametrize("how", ["object", "update", "attribute", "keyword", "dict"])
    def test_wherever_it_was_written(self, make_app: MakeApp, how: str) -> None:
        typo = {"graceful_stor": "memory://"}
        source = {"object": SimpleNamespace(**typo), "dict": typo}.get(how)
        app = make_app(source, **(typo if how == "keyword" else {}))
        if how == "update":
            app.conf.update(typo)
        elif how == "attribute":
            app.conf.graceful_stor = "memory://"
        [message] = problems(app.conf)
        assert "did you mean graceful_store?" in message

    def test_in_a_namespace(self, make_app: MakeApp) -> None:
        app = make_app(SimpleNamespace(CELERY_GRACEFUL_STOR="memory://"), "CELERY")
        [message] = problems(app.conf)
        assert "CELERY_GRACEFUL_STOR is unknown" in message
        assert "did you mean CELERY_GRACEFUL_STORE?" in message

    def test_beside_a_namespace(self, make_app: MakeApp) -> None:
        app = make_app(SimpleNamespace(CELERY_TASK_ALWAYS_EAGER=False), "CELERY")
        app.conf.graceful_stor = "memory://"
        assert "graceful_stor is unknown" in problems(app.conf)[0]

    @pytest.mark.parametrize(
        ("written", "namespace", "right"),
        [
            ("GRACEFUL_STORE", None, "graceful_store"),
            ("CELERY_GRACEFUL_STORE", None, "graceful_store"),
            ("GRACEFUL_STORE", "CELERY", "CELERY_GRACEFUL_STORE"),
            ("celery_graceful_store", "CELERY", "CELERY_GRACEFUL_STORE"),
            ("CELERY_GRACEFUL_STORE", "celery", "celery_graceful_store"),
        ],
    )
    def test_spellings_that_celery_does_not_read(
        self, make_app: MakeApp, written: str, namespace: str | None, right: str
    ) -> None:
        app = make_app(SimpleNamespace(**{written: "memory://"}), namespace)
        assert app.conf.get("graceful_store") is None
        [message] = problems(app.conf)
        assert message.endswith(f"{written} is not read when written so; write {right}")

    def test_helpers_in_a_config_module_are_no_settings(self, make_app: MakeApp) -> None:
        def graceful_helper() -> None: ...

        source = SimpleNamespace(graceful_json=json, graceful_helper=graceful_helper, graceful=1)
        assert problems(make_app(source).conf) == []


class TestWrongValues:
    @pytest.mark.parametrize(
        ("name", "value", "why"),
        [
            ("store", "", "it is empty"),
            ("store", "/var/lib/runs.db", "does not begin with a scheme"),
            ("store", 5, "an int is not a text"),
            ("namespace", " ", "it is empty"),
            ("checkpoint_interval", 0, "more than 0"),
            ("checkpoint_interval", -1, "it is a negative duration"),
            ("checkpoint_interval", None, "it is not a duration"),
            ("checkpoint_interval", True, "it is not a duration"),
            ("checkpoint_interval", "soon", "cannot read 'soon'"),
            ("checkpoint_interval", float("nan"), "not a finite"),
            ("max_execution_time", "-5m", "negative"),
            ("max_crashes", True, "a bool is not a whole number"),
            ("max_crashes", 2.0, "a float is not a whole number"),
            ("max_crashes", "3", "a str is not a whole number"),
            ("max_crashes", -1, "0 or more"),
            ("lease_ttl", 0.5, "1s or more"),
            ("run_retention", 0, "1h or more"),
            ("release_timeout", -0.1, "negative"),
            ("store_timeout", 0, "more than 0"),
            ("rescue_interval", "0s", "more than 0"),
            ("progress", 1, "an int is not True or False"),
            ("progress", "yes", "a str is not True or False"),
        ],
    )
    def test_message(self, name: str, value: object, why: str) -> None:
        line = SETTINGS[f"graceful_{name}"]
        [message] = problems({line.name: value})
        assert message.startswith(f"{line.name} = {value!r} is wrong: ")
        assert why in message
        assert line.expected in message
        assert line.example in message

    def test_in_a_namespace(self, make_app: MakeApp) -> None:
        app = make_app(SimpleNamespace(CELERY_GRACEFUL_MAX_CRASHES="x"), "CELERY")
        assert problems(app.conf)[0].startswith("CELERY_GRACEFUL_MAX_CRASHES = 'x' is wrong")

    @pytest.mark.parametrize("value", ["me:se@cret@host/0", "://me:secret@host/0"])
    def test_passwords_stay_secret(self, value: str) -> None:
        [message] = problems({"graceful_store": value})
        assert "***@host/0" in message
        assert "cret" not in message


class TestOptions:
    def test_right_ones(self) -> None:
        right = {
            "checkpoint_interval": "2s",
            "max_execution_time": None,
            "max_crashes": 0,
            "queue": -1,
        }
        assert option_problems(right) == []

    def test_wrong_ones(self) -> None:
        wrong = {"checkpoint_interval": -1, "max_execution_time": "5x", "max_crashes": True}
        messages = option_problems(wrong)
        assert [message.split()[2] for message in messages] == list(wrong)
        assert all("Expected" in message and "Example" in message for message in messages)

    @pytest.mark.parametrize("name", OPTIONS)
    def test_none_and_off(self, name: str) -> None:
        assert parse_option(name, None) is None
        assert parse_option(name, 0) == 0
        assert parse_option(name, 0.0) == 0
        with pytest.raises(SettingsError, match=f"option {name} = False"):
            parse_option(name, False)

    def test_parsed(self) -> None:
        assert parse_option("max_execution_time", "5m") == 300
        assert parse_option("max_crashes", 7) == 7
