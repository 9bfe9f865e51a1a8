"""``graceful pause``, ``resume``, ``cancel``, ``retry``, ``fork``, …: a command for each verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from celery_graceful.cli.options import json_option, json_value
from celery_graceful.cli.show.filter_options import filter_options, given_filters


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed."""

    verb: str
    run_id: str | None
    filters: dict[str, str]
    reason: str
    yes: bool
    as_json: bool
    most: int | None
    arguments: dict[str, Any]


def _json(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    from celery_graceful.runs.operating.rewinding import UNCHANGED

    is_carry = parameter.name == "carry"
    example = """'{"rows": 41}'""" if is_carry else """'"a text"', 41 or '[3, 41]'"""
    return UNCHANGED if text is None else json_value(text, example)


_FROM = click.option(
    "--from",
    "cursor",
    callback=_json,
    metavar="CURSOR",
    help="Behind this cursor, as JSON; null: at the beginning.",
)
_CARRY = click.option("--carry", callback=_json, metavar="JSON", help="With this carry.")
_ADJUST = (
    click.option("--checkpoint-interval", metavar="TIME", help="Between checkpoints; 0 resets."),
    click.option("--batch-size", type=click.IntRange(0), help="Items in a batch; 0 resets."),
    click.option("--to-queue", "to_queue", metavar="QUEUE", help="Of its next messages."),
    click.option("--priority", type=click.IntRange(0, 255), help="Of its next messages."),
)
_ITEM = click.option(
    "-i",
    "--item",
    "items",
    type=click.IntRange(0),
    multiple=True,
    help="Only this item, by its number in `graceful show ID`; may be given several times.",
)


def _verb_command(
    verb: str,
    help: str,
    options: Sequence[Callable[[Any], Any]] = (),
    read: Callable[[dict[str, Any]], dict[str, Any]] = lambda own: {},
) -> click.Command:
    """A command that does ``verb`` to one run, or to all that fit the filters."""

    @click.command(verb, help=help)
    @click.argument("run_id", metavar="[ID]", required=False)
    @click.option("-r", "--reason", default="", help="Why, for the run's action log.")
    @click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    @click.option("--most", type=click.IntRange(1), metavar="RUNS", help="At most so many runs.")
    @filter_options
    @json_option
    @click.pass_context
    def command(ctx: click.Context, /, **given: Any) -> None:
        from celery_graceful.cli.operate.changing import change

        filters = given_filters(given)
        if given["run_id"] is not None and filters:
            raise click.UsageError("Give an ID or filters, not both.")
        if given["run_id"] is None and not filters:
            raise click.UsageError(
                "Which run? Give an ID, its first characters, or filters such as --state failed."
            )
        wish = Wish(
            verb=verb,
            run_id=given["run_id"],
            filters=filters,
            reason=given["reason"],
            yes=given["yes"],
            as_json=given["as_json"],
            most=given["most"],
            arguments=read(given),
        )
        change(ctx, wish)

    for option in options:
        command = option(command)
    return command


def _given(own: dict[str, Any]) -> dict[str, Any]:
    from celery_graceful.runs.operating.rewinding import UNCHANGED

    return {name: own[name] for name in ("cursor", "carry") if own[name] is not UNCHANGED}


def _for_retry(own: dict[str, Any]) -> dict[str, Any]:
    given = _given(own)
    if "carry" in given and "cursor" not in given:
        raise click.UsageError("--carry is for --from")
    return given


def _for_adjust(own: dict[str, Any]) -> dict[str, Any]:
    from celery_graceful.durations import parse

    given = {
        "checkpoint_interval": own["checkpoint_interval"],
        "batch_size": own["batch_size"],
        "queue": own["to_queue"],
        "priority": own["priority"],
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        raise click.UsageError(
            "Adjust what? Give --checkpoint-interval, --batch-size, --to-queue or --priority."
        )
    try:
        if "checkpoint_interval" in given:
            given["checkpoint_interval"] = parse(given["checkpoint_interval"])
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--checkpoint-interval") from exc
    return given


pause = _verb_command(
    "pause", "Stop a run until it is resumed.\n\nA running one stops at its next checkpoint."
)
resume = _verb_command("resume", "Put a paused run back in its queue.")
cancel = _verb_command(
    "cancel",
    "End a run.\n\nA running one stops at its next checkpoint. `graceful retry` undoes it.",
)
retry = _verb_command(
    "retry",
    "Continue a failed or cancelled run at its checkpoint.\n\nWith --from, behind another cursor;"
    " a paused run as well.",
    (_FROM, _CARRY),
    _for_retry,
)
fork = _verb_command(
    "fork",
    "Start a new run from this one's checkpoint.\n\nSame arguments; it calls nobody back.",
    (_FROM, _CARRY),
    _given,
)
adjust = _verb_command(
    "adjust",
    "Change what a run works with, while it runs as well.",
    _ADJUST,
    _for_adjust,
)
release = _verb_command(
    "release",
    "Take a run from a worker that is stuck.\n\nAnother one continues it; the item that its worker"
    " is at may run twice.",
)
resend = _verb_command(
    "resend", "Send the message of a waiting run again.\n\nUse it after a purge of its queue."
)
replay = _verb_command(
    "replay",
    "Try the items again that a run has quarantined.\n\nThey run as a task of their own; see"
    " max_failed_items. Items that succeed are forgotten; items that fail again stay quarantined.",
    (_ITEM,),
    lambda own: {"items": own["items"]},
)
delete = _verb_command(
    "delete",
    "Forget a run that has ended, and its quarantined items.\n\nA paused one is cancelled first.",
)
