"""Kubernetes manifests."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from celery_graceful.doctor.facts import (
    Beside,
    Deployed,
    Given,
    Hook,
    Manager,
    Place,
    Probe,
)
from celery_graceful.doctor.parse import parse_words
from celery_graceful.doctor.readers.texts import environment_of, signal_name
from celery_graceful.doctor.readers.yaml_tree import Node
from celery_graceful.stop.hooks import sleeps

__all__ = ["is_manifest", "read_manifest"]

GRACE, PROBE_TIMEOUT = 30.0, 1.0
#: Of most kinds, also of those that are not known here: Argo's Rollout, DeploymentConfig.
_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
}


def is_manifest(document: Node) -> bool:
    """Whether a YAML document is an object of Kubernetes."""
    return document.get("kind").given and document.get("apiVersion").given


def read_manifest(document: Node) -> Iterator[Deployed]:
    """The workers of one object, or of all objects of a ``List``."""
    pending = [document]
    while pending:
        each = pending.pop()
        kind = each.get("kind").text
        if kind == "List" or (kind.endswith("List") and each.get("items").given):
            pending += reversed(each.get("items").each())
        else:
            yield from _workers(each, kind)


def _workers(document: Node, kind: str) -> Iterator[Deployed]:
    pod = document.get(*_POD_SPECS.get(kind, _TEMPLATE))
    title = f"{kind} {document.get('metadata', 'name').text or '?'}"
    containers = pod.get("containers").each()
    sidecars = [c for c in pod.get("initContainers").each() if _restarts_always(c)]
    for container in (*containers, *sidecars):
        worker = _worker(document, kind, title, pod, container)
        if worker is not None:
            yield worker


def _worker(document: Node, kind: str, title: str, pod: Node, own: Node) -> Deployed | None:
    command_node = own.get("command") if own.get("command").given else own.get("args")
    words = [each.text for key in ("command", "args") for each in own.get(key).each()]
    command = parse_words(words)
    if not command.is_worker and not command.supervises:
        return None
    given = {
        each.get("name").text: Given(each.get("value").text, each.place)
        for each in own.get("env").each()
    }
    copies = _copies(document, kind)
    stop_signal = own.get("lifecycle", "stopSignal")
    return Deployed(
        manager=Manager.KUBERNETES,
        name=f"{title}, container {own.get('name').text or '?'}",
        place=command_node.place,
        command=command,
        grace=_grace(pod),
        grace_setting="terminationGracePeriodSeconds",
        grace_form="terminationGracePeriodSeconds: {seconds}",
        stop_signal=Given(signal_name(stop_signal.text), stop_signal.place)
        if stop_signal.given
        else None,
        stop_form="lifecycle: {stopSignal: SIGTERM}",
        pre_stop=_hook(own.get("lifecycle", "preStop")),
        environment=environment_of(given, command, command_node.place),
        copies=copies,
        many_hosts=copies is not None and copies.value > 1,
        misplaced=_misplaced(document, own),
        liveness=_probe(own.get("livenessProbe")),
        beside=tuple(_beside(other, own) for other in _others(pod, own)),
        volumes=tuple(each.get("mountPath").text for each in own.get("volumeMounts").each()),
    )


def _copies(document: Node, kind: str) -> Given[int] | None:
    if kind == "DaemonSet":  # one on each node
        return Given(2, document.get("kind").place, written=False)
    node = document.get("spec", "parallelism" if kind == "Job" else "replicas")
    number = node.number()
    return None if number is None else Given(int(number.value), number.place)


def _grace(pod: Node) -> Given[float] | None:
    node = pod.get("terminationGracePeriodSeconds")
    return node.number() if node.given else Given(GRACE, pod.place, written=False)


def _misplaced(document: Node, own: Node) -> tuple[Given[str], ...]:
    """The grace period in a container, or beside the pod's ``spec`` instead of in it."""
    wrong = [own, document, document.get("spec", "template")]
    if document.get("kind").text != "Pod":
        wrong.append(document.get("spec"))
    found = (each.get("terminationGracePeriodSeconds") for each in wrong)
    return tuple(Given("terminationGracePeriodSeconds", each.place) for each in found if each.given)


def _hook(node: Node) -> Hook | None:
    if not node.given:
        return None
    seconds = node.get("sleep", "seconds").number()
    if seconds is not None:
        return Hook("sleep", seconds.place, seconds.value)
    words = [each.text for each in node.get("exec", "command").each()]
    place = node.get("exec", "command").place
    text = words[-1] if len(words) > 1 and words[-2].startswith("-") else shlex.join(words)
    return Hook(text, place, sleeps(text))


def _probe(node: Node) -> Probe | None:
    words = [each.text for each in node.get("exec", "command").each()]
    if not words:
        return None
    default: Given[float] = Given(PROBE_TIMEOUT, node.place, written=False)
    timeout = node.get("timeoutSeconds").number() or default
    return Probe(" ".join(words), node.place, timeout)


def _others(pod: Node, own: Node) -> list[Node]:
    return [each for each in pod.get("containers").each() if each is not own]


def _beside(other: Node, own: Node) -> Beside:
    place: Place = other.get("image").place
    return Beside(
        other.get("name").text,
        other.get("image").text,
        place,
        outlives=other.get("lifecycle", "preStop").given,
    )


def _restarts_always(container: Node) -> bool:
    return container.get("restartPolicy").text == "Always"
