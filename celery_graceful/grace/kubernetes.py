"""What Kubernetes says of the pod that this process runs in, if its service account may ask."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from celery_graceful.grace.deadlines import Period, Silent
from celery_graceful.text import strict_json
from celery_graceful.time_limits import within

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: An answer that is longer, in bytes, is no pod.
LONGEST = 8 * 1024 * 1024
#: What Kubernetes gives a worker whose hook took all the time, in seconds.
AFTER_THE_HOOK = 2.0
_TIME = r"\d+(?:\.\d+)?[smhd]?(?![^\s;&|)'\"`])"
_SLEEP = re.compile(rf"\bsleep((?:\s+{_TIME})+)")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Account(NamedTuple):
    """How a pod may ask for itself."""

    host: str
    port: int
    namespace: str
    pod: str
    token: str
    #: The file with the certificate of who may answer.
    certificate: str


def ask(environ: Mapping[str, str], patience: float, mounted: Path = MOUNTED) -> Period | None:
    """``terminationGracePeriodSeconds`` of this pod, less what a ``preStop`` is known to take.

    ``None`` outside of a pod, and without a service account.

    Raises:
        Silent: Kubernetes does not answer, or the account may not ask.
    """
    own = account(environ, mounted)
    if own is None:
        return None
    try:
        pod = within(patience, lambda: _pod(own, patience))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise Silent(f"Kubernetes at {own.host}:{own.port} does not answer: {exc}") from exc
    return Period(grace_in(pod), f"terminationGracePeriodSeconds of pod {own.pod}")


def account(environ: Mapping[str, str], mounted: Path = MOUNTED) -> Account | None:
    """The service account that is mounted into this pod, if there is one."""
    host = environ.get("KUBERNETES_SERVICE_HOST")
    try:
        token = (mounted / "token").read_text().strip()
        namespace = (mounted / "namespace").read_text().strip()
    except OSError:
        return None
    if not host or not token:
        return None
    return Account(
        host=host,
        port=int(environ.get("KUBERNETES_SERVICE_PORT") or 443),
        namespace=namespace,
        pod=environ.get("POD_NAME") or environ.get("HOSTNAME") or socket.gethostname(),
        token=token,
        certificate=str(mounted / "ca.crt"),
    )


def grace_in(pod: Any) -> float:
    """Seconds from SIGTERM to SIGKILL for the worker in a pod, as the API describes it.

    Raises:
        Silent: it does not say.
    """
    try:
        spec = pod["spec"]
        seconds = strict_json.number(spec["terminationGracePeriodSeconds"], "the grace period")
        hook = strict_json.number(_hook(spec.get("containers") or []), "the sleep of preStop")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise Silent(f"the answer of Kubernetes is no pod: {exc!r}") from exc
    return max(seconds - hook, min(seconds, AFTER_THE_HOOK)) if hook else seconds


def _hook(containers: list[Mapping[str, Any]]) -> float:
    """How long the worker's ``preStop`` sleeps, as far as it says so."""
    ours = containers
    if len(containers) > 1:
        ours = [each for each in containers if "celery" in " ".join(_command(each))]
    if len(ours) != 1:
        return 0.0
    hook = (ours[0].get("lifecycle") or {}).get("preStop") or {}
    words = (hook.get("exec") or {}).get("command") or []
    return float((hook.get("sleep") or {}).get("seconds") or 0.0) + sleeps(" ".join(words))


def _command(container: Mapping[str, Any]) -> list[str]:
    return [*(container.get("command") or []), *(container.get("args") or [])]


def _pod(own: Account, patience: float) -> Any:
    # Not by urllib, which would ask the proxy that is meant for the world outside.
    line = http.client.HTTPSConnection(
        own.host,
        own.port,
        timeout=patience,
        context=ssl.create_default_context(cafile=own.certificate),
    )
    path = f"/api/v1/namespaces/{quote(own.namespace)}/pods/{quote(own.pod)}"
    try:
        line.request("GET", path, headers={"Authorization": f"Bearer {own.token}"})
        with contextlib.closing(line.getresponse()) as answer:  # it may have the socket to itself
            text = answer.read(LONGEST + 1)
    finally:
        line.close()
    if answer.status != 200:
        raise Silent(
            f"Kubernetes answers {answer.status} {answer.reason} to GET {path}"
            " (the service account needs the verb get on pods)"
        )
    try:
        return strict_json.loads(text, LONGEST)
    except ValueError as exc:
        raise Silent(f"the answer of Kubernetes to GET {path} is no pod: {exc}") from exc


def sleeps(text: str) -> float:
    """The seconds that a text for a shell sleeps; several times for one ``sleep`` add up."""
    return sum(_seconds(time) for times in _SLEEP.findall(text) for time in times.split())


def _seconds(time: str) -> float:
    unit = time[-1]
    return float(time[:-1]) * _UNIT[unit] if unit in _UNIT else float(time)
