"""Applies what the doctor tells to write, as somebody who reads it would."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from typing import Any

import yaml

from celery_graceful.doctor.facts import AppFacts, Kind
from celery_graceful.doctor.finding import Finding

_VARIABLE = re.compile(r"(?P<name>[A-Z_]+)=(?P<value>\S+)(?: in its environment)?$")


def applied(finding: Finding, file: str, text: str) -> str:
    """The file's text after the fix of a finding."""
    fix = finding.fix.split("; or ")[0]
    if fix.startswith("a ") and "of its own for each worker" in fix:
        fix = fix.partition(": ")[2]
    given = _VARIABLE.match(fix)
    if given:
        return _with_variable(file, text, given["name"], given["value"])
    if finding.id == "GD301":
        return _started(finding, file, text, fix)
    if file.endswith((".yaml", ".yml")):
        return _in_yaml(finding, text, fix)
    if file.startswith("Dockerfile"):
        return _instruction(text, finding.line, fix)
    if file.startswith("Procfile"):
        return _line(text, finding.line, fix)
    return _in_section(file, text, fix)


def _started(finding: Finding, file: str, text: str, fix: str) -> str:
    """The line that starts the worker is written in the place of the one that does."""
    if fix.startswith(("CMD ", "ENTRYPOINT ")):
        return _instruction(text, finding.line, fix)
    source = fix.removeprefix("exec ")
    lines = text.split("\n")
    for at in range(max(finding.line - 1, 0), len(lines)):
        for written in (source, json.dumps(source)[1:-1]):
            if written in lines[at]:
                before, _, rest = lines[at].partition(written)
                ends = re.match(r"\s*(?:\||&(?!&)|;).*?(?=[\"']|$)", rest)
                kept = rest[ends.end() :] if ends else rest
                lines[at] = f"{before.removesuffix('exec ')}exec {written}{kept}"
                return "\n".join(lines[: at + 1] + _after(lines[at + 1 :]))
    raise AssertionError(f"{source!r} is not in {file}")


def _after(lines: list[str]) -> list[str]:
    """Without what waits for a job in the background, which is no more."""
    return [line for line in lines if line.strip() not in ("wait", "echo gone")]


def _instruction(text: str, line: int, fix: str) -> str:
    lines = text.split("\n")
    end = first = line - 1
    while first and lines[first - 1].endswith("\\"):
        first -= 1
    while lines[end].endswith("\\"):
        end += 1
    return "\n".join([*lines[:first], fix, *lines[end + 1 :]])


def _line(text: str, line: int, fix: str) -> str:
    lines = text.split("\n")
    lines[line - 1] = fix
    return "\n".join(lines)


def _with_variable(file: str, text: str, name: str, value: str) -> str:
    if file.startswith("Dockerfile"):
        return text.replace("CMD", f"ENV {name}={value}\nCMD", 1)
    if file.endswith(".service"):
        return text.replace("[Service]", f"[Service]\nEnvironment={name}={value}")
    data = list(yaml.safe_load_all(text))
    for owner in _owners(data):
        given = owner.get("environment", owner.get("env"))
        if "services" in str(data) or "environment" in owner or "image" not in owner:
            pairs = dict(p.split("=", 1) for p in given) if isinstance(given, list) else given or {}
            owner["environment"] = {**pairs, name: value}
        else:
            rest = [each for each in given or [] if each["name"] != name]
            owner["env"] = [*rest, {"name": name, "value": value}]
    return str(yaml.safe_dump_all(data, sort_keys=False))


def _owners(data: Any) -> list[dict[str, Any]]:
    """The services or containers of a worker."""
    found = []
    for each in data:
        for service in (each.get("services") or {}).values():
            if "celery" in str(service):
                found.append(service)
        pod = each.get("spec", {}).get("template", {}).get("spec", {})
        found += [c for c in pod.get("containers", []) if "celery" in str(c)]
    return found


def _in_yaml(finding: Finding, text: str, fix: str) -> str:
    data = list(yaml.safe_load_all(text))
    change = yaml.safe_load(fix)
    for owner in _owners(data):
        if finding.id == "GD302":
            owner["command"] = shlex.split(fix)
        elif isinstance(change, dict) and "terminationGracePeriodSeconds" in change:
            for each in data:
                if "template" in each.get("spec", {}):
                    each["spec"]["template"]["spec"].update(change)
        else:
            assert isinstance(change, dict), fix
            owner.update(change)
    return str(yaml.safe_dump_all(data, sort_keys=False))


def _in_section(file: str, text: str, fix: str) -> str:
    """``Key=value`` of systemd or supervisord; a command line takes the place of the old one."""
    section = "[Service]" if file.endswith(".service") else r"[program:worker]"
    pairs = fix.split(" and ") if re.match(r"\w+=", fix) else [_start(file, fix)]
    for pair in pairs:
        key = pair.partition("=")[0]
        text = re.sub(rf"(?m)^{key}=(?:.*\\\n)*.*\n?", "", text)
        text = text.replace(section, f"{section}\n{pair}", 1)
    return text


def _start(file: str, fix: str) -> str:
    return f"{'ExecStart' if file.endswith('.service') else 'command'}={fix}"


def applied_to_app(finding: Finding, app: AppFacts) -> AppFacts:
    """The app after the fix of a finding that is about its settings."""
    name, _, value = finding.fix.partition(" (")[0].removeprefix("app.conf.").partition(" = ")
    if name == "graceful_grace_period":
        return replace(app, grace_period=float(value.strip('"s')))
    if name == "task_acks_late":
        return _with_tasks(app, acks_late=True)
    if name == "task_reject_on_worker_lost":
        return _with_tasks(app, reject_on_worker_lost=True)
    if name == "worker_soft_shutdown_timeout":
        return replace(app, soft_shutdown_timeout=float(value))
    raise AssertionError(f"what does {finding.fix!r} mean?")


def _with_tasks(app: AppFacts, **changes: Any) -> AppFacts:
    plain = (Kind.PLAIN, Kind.GRACEFUL)
    tasks = (replace(each, **changes) if each.kind in plain else each for each in app.tasks)
    return replace(app, tasks=tuple(tasks))
