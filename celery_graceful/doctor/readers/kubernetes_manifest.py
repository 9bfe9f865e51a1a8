"""Kubernetes manifests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial

from celery_graceful.doctor.commands.search import commands_in_words
from celery_graceful.doctor.commands.shell_syntax import Word
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.facts import Beside, Deployed, Given, Hook, Manager, Probe
from celery_graceful.doctor.readers.entry import Entry
from celery_graceful.doctor.readers.project_images import project_finder
from celery_graceful.doctor.readers.texts import signal_name, values_of
from celery_graceful.doctor.readers.yaml_tree import Node
from celery_graceful.grace.kubernetes import sleeps

GRACE, PROBE_TIMEOUT = 30.0, 1.0
_GRACE = "terminationGracePeriodSeconds"
#: What KEDA takes for ``maxReplicaCount``.
_SCALED_JOBS = 100
_REFERENCE = re.compile(r"\$\((?P<name>[\w.-]+)\)|\$\$(?P<escaped>\()")
_PARAMETER = re.compile(r"\$\{\{?(?P<name>[A-Za-z0-9_]+)\}\}?")
#: How deep a pod may be within an object of an unknown kind.
_DEEPEST = 12


def is_manifest(document: Node) -> bool:
    """Whether a YAML document is an object of Kubernetes."""
    return document.get("kind").given and document.get("apiVersion").given


def read_manifest(document: Node) -> Iterator[Entry]:
    """The containers of an object, or of all objects of a ``List`` or OpenShift's ``Template``."""
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
            yield from _Object(each, kind, parameters).entries()


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

    def entries(self) -> Iterator[Entry]:
        for pod in _pods(self.document):
            containers, started_first = pod.get("containers").each(), pod.get("initContainers")
            sidecars = [c for c in started_first.each() if c.get("restartPolicy").text == "Always"]
            for own in (*containers, *sidecars):
                environment = {
                    each.get("name").text: Given(self.text(each.get("value")), each.place)
                    for each in own.get("env").each()
                }
                others = [each for each in containers if each is not own]
                worker = self._worker(pod, own, others, environment)
                yield Entry(worker, partial(self._commands, own, environment))

    def _commands(self, own: Node, environment: dict[str, Given[str]]) -> list[Command]:
        known = values_of(environment)

        def value(match: re.Match[str]) -> str:
            return "$(" if match["escaped"] else known.get(match["name"]) or match[0]

        nodes = [each for key in ("command", "args") for each in own.get(key).each()]
        words = [
            Word(_REFERENCE.sub(value, self.text(each)), each.text_line, own.place.file)
            for each in nodes
        ]
        written = [each.text for each in nodes]
        find = project_finder(own.place.file)
        return commands_in_words(words, written=written, find=find, variables=known)

    def _worker(
        self, pod: Node, own: Node, others: list[Node], environment: dict[str, Given[str]]
    ) -> Deployed:
        copies, grace = self._copies(), pod.get(_GRACE)
        started = own.get("command") if own.get("command").given else own.get("args")
        return Deployed(
            Manager.KUBERNETES,
            f"{self.title}, container {self.text(own.get('name')) or '?'}",
            started.place,
            grace=self.number(grace) if grace.given else Given(GRACE, pod.place, written=False),
            grace_setting=_GRACE,
            grace_form=f"{_GRACE}: {{seconds}}",
            stop_signal=signal_name(own.get("lifecycle", "stopSignal").scalar()),
            stop_form="lifecycle: {stopSignal: SIGTERM}",
            pre_stop=_hook(own.get("lifecycle", "preStop")),
            environment=environment,
            copies=copies,
            many_hosts=copies is not None and copies.value > 1,
            misplaced=_misplaced(self.document, own),
            liveness=_probe(own.get("livenessProbe")),
            beside=tuple(map(_beside, others)),
            volumes=tuple(each.get("mountPath").text for each in own.get("volumeMounts").each()),
        )

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
    """Every mapping with containers in it, wherever it is: each kind has a place of its own."""
    pending = [(document, 0)]
    while pending:
        node, depth = pending.pop()
        if node.get("containers").each():
            yield node
        elif node.get("podSpec", "image").given:  # of Clowder, which makes a container of it
            own = node.get("podSpec")
            fields = {name: value for name, value in own.items() if name != _GRACE}
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
    found = (each.get(_GRACE) for each in wrong)
    return tuple(Given(_GRACE, each.place) for each in found if each.given)


def _hook(node: Node) -> Hook | None:
    if not node.given:
        return None
    seconds = node.get("sleep", "seconds").number()
    if seconds is not None:
        return Hook("sleep", seconds.place, seconds.value)
    command = node.get("exec", "command")
    words = [each.text for each in command.each()]
    text = words[-1] if len(words) > 1 and words[-2].startswith("-") else shlex.join(words)
    return Hook(text, command.place, sleeps(text))


def _probe(node: Node) -> Probe | None:
    words = [each.text for each in node.get("exec", "command").each()]
    if not words:
        return None
    default: Given[float] = Given(PROBE_TIMEOUT, node.place, written=False)
    return Probe(" ".join(words), node.place, node.get("timeoutSeconds").number() or default)


def _beside(other: Node) -> Beside:
    image, outlives = other.get("image"), other.get("lifecycle", "preStop").given
    return Beside(other.get("name").text, image.text, image.place, outlives)
