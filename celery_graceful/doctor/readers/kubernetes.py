"""Kubernetes manifests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import (
    Beside,
    Deployed,
    Given,
    Hook,
    Manager,
    Place,
    Probe,
)
from celery_graceful.doctor.parse import as_written, workers_in_words
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import commands_or_trouble, place_of
from celery_graceful.doctor.readers.texts import environment_of, signal_name
from celery_graceful.doctor.readers.yaml_tree import Node
from celery_graceful.grace.hooks import sleeps

GRACE, PROBE_TIMEOUT = 30.0, 1.0
#: What KEDA takes for ``maxReplicaCount``.
_SCALED_JOBS = 100
_REFERENCE = re.compile(r"\$\((?P<name>[\w.-]+)\)|\$\$(?P<escaped>\()")
_PARAMETER = re.compile(r"\$\{\{?(?P<name>[A-Za-z0-9_]+)\}\}?")
#: How deep a pod lies within an object of a kind that is not known here.
_DEEPEST = 12


def is_manifest(document: Node) -> bool:
    """Whether a YAML document is an object of Kubernetes."""
    return document.get("kind").given and document.get("apiVersion").given


def read_manifest(document: Node) -> Iterator[Deployed | Trouble]:
    """The workers of one object, or of all objects of a ``List`` or of OpenShift's ``Template``."""
    pending: list[tuple[Node, dict[str, str]]] = [(document, {})]
    while pending:
        each, parameters = pending.pop()
        kind = each.get("kind").text
        if kind == "List" or (kind.endswith("List") and each.get("items").given):
            pending += [(item, parameters) for item in reversed(each.get("items").each())]
        elif kind == "Template" and each.get("objects").given:
            given = {p.get("name").text: p.get("value").text for p in each.get("parameters").each()}
            pending += [(item, given) for item in reversed(each.get("objects").each())]
        else:
            yield from _Object(each, kind, parameters).workers()


class _Object:
    """One object, with the parameters of the template that it is in."""

    def __init__(self, document: Node, kind: str, parameters: dict[str, str]) -> None:
        self.document, self.kind, self.parameters = document, kind, parameters
        self.title = f"{kind} {self.text(document.get('metadata', 'name')) or '?'}"

    def text(self, node: Node) -> str:
        """A scalar, with the parameters that have a value."""
        return _PARAMETER.sub(lambda m: self.parameters.get(m["name"]) or m[0], node.text)

    def number(self, node: Node) -> Given[float] | None:
        """A scalar as a number; ``None`` for a parameter without a value."""
        return Node(self.text(node), node.place).number() if node.given else None

    def workers(self) -> Iterator[Deployed | Trouble]:
        """What all of its pods start."""
        for pod in _pods(self.document):
            sidecars = [c for c in pod.get("initContainers").each() if _restarts_always(c)]
            for container in (*pod.get("containers").each(), *sidecars):
                yield from self._of_container(pod, container)

    def _of_container(self, pod: Node, own: Node) -> Iterator[Deployed | Trouble]:
        node = own.get("command") if own.get("command").given else own.get("args")
        for command in commands_or_trouble(lambda: self._commands(own), node.place):
            if isinstance(command, Trouble):
                yield command
            elif command.is_worker or command.supervises:
                yield self._worker(pod, own, command, place_of(command, node.place))

    def _environment(self, own: Node) -> dict[str, Given[str]]:
        return {
            each.get("name").text: Given(self.text(each.get("value")), each.place)
            for each in own.get("env").each()
        }

    def _commands(self, own: Node) -> list[Command]:
        nodes = [each for key in ("command", "args") for each in own.get(key).each()]
        environment = self._environment(own)

        def value(match: re.Match[str]) -> str:
            given = environment.get(match["name"] or "")
            return "$(" if match["escaped"] else (given.value if given else "") or match[0]

        raw = [each.text for each in nodes]
        words = [_REFERENCE.sub(value, self.text(each)) for each in nodes]
        lines = [each.text_line for each in nodes]
        known = {name: given.value for name, given in environment.items() if given.value}
        file = own.place.file
        found = workers_in_words(
            words, lines=lines, file=file, variables=known, otherwise=bool(words)
        )
        return as_written(found, raw) if words != raw else found

    def _worker(self, pod: Node, own: Node, command: Command, place: Place) -> Deployed:
        copies = self._copies()
        stop_signal = own.get("lifecycle", "stopSignal")
        return Deployed(
            manager=Manager.KUBERNETES,
            name=f"{self.title}, container {self.text(own.get('name')) or '?'}",
            place=place,
            command=command,
            grace=self._grace(pod),
            grace_setting="terminationGracePeriodSeconds",
            grace_form="terminationGracePeriodSeconds: {seconds}",
            stop_signal=Given(signal_name(stop_signal.text), stop_signal.place)
            if stop_signal.given
            else None,
            stop_form="lifecycle: {stopSignal: SIGTERM}",
            pre_stop=_hook(own.get("lifecycle", "preStop")),
            environment=environment_of(self._environment(own), command, place),
            copies=copies,
            many_hosts=copies is not None and copies.value > 1,
            misplaced=_misplaced(self.document, own),
            liveness=_probe(own.get("livenessProbe")),
            beside=tuple(_beside(other, own) for other in _others(pod, own)),
            volumes=tuple(each.get("mountPath").text for each in own.get("volumeMounts").each()),
        )

    def _grace(self, pod: Node) -> Given[float] | None:
        node = pod.get("terminationGracePeriodSeconds")
        return self.number(node) if node.given else Given(GRACE, pod.place, written=False)

    def _copies(self) -> Given[int] | None:
        document, kind = self.document, self.kind
        if kind == "DaemonSet":  # one on each node
            return Given(2, document.get("kind").place, written=False)
        if kind == "ScaledJob" and not document.get("spec", "maxReplicaCount").given:
            return Given(_SCALED_JOBS, document.get("kind").place, written=False)
        name = {"Job": "parallelism", "ScaledJob": "maxReplicaCount"}.get(kind, "replicas")
        number = self.number(document.get("spec", name))
        return None if number is None else Given(int(number.value), number.place)


def _pods(document: Node) -> Iterator[Node]:
    """Every mapping with containers in it, wherever it lies: each kind has a place of its own."""
    pending = [(document, 0)]
    while pending:
        node, depth = pending.pop()
        if node.get("containers").each():
            yield node
        elif node.get("podSpec", "image").given:  # of Clowder, which makes a container of it
            own = node.get("podSpec")
            grace = "terminationGracePeriodSeconds"
            fields = {name: value for name, value in own.items() if name != grace}
            container = Node({"name": node.get("name"), **fields}, own.place)
            yield Node({**own.value, "containers": Node([container], own.place)}, own.place)
        elif depth < _DEEPEST:
            below = [*(value for _, value in node.items()), *node.each()]
            pending += [(each, depth + 1) for each in reversed(below)]


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
