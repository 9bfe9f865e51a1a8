"""terminationGracePeriodSeconds, as the API of Kubernetes tells it to a pod."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.grace.deadlines import Period, Silent
from celery_graceful.grace.kubernetes import account, ask, grace_in

WORKER = {"name": "worker", "command": ["celery", "-A", "shop", "worker"]}
PROXY = {"name": "proxy", "lifecycle": {"preStop": {"sleep": {"seconds": 50}}}}


def pod(*containers: dict[str, Any], seconds: int = 60) -> dict[str, Any]:
    return {"spec": {"terminationGracePeriodSeconds": seconds, "containers": list(containers)}}


def hooked(**hook: Any) -> dict[str, Any]:
    return {**WORKER, "lifecycle": {"preStop": hook}}


@pytest.mark.parametrize(
    ("described", "seconds"),
    [
        (pod(WORKER), 60),
        (pod(hooked(sleep={"seconds": 10})), 50),
        (pod(hooked(exec={"command": ["sh", "-c", "touch /drain && sleep 5"]})), 55),
        (pod(hooked(exec={"command": ["sleep", "15s"]})), 45),
        (pod(hooked(exec={"command": ["sh", "-c", "sleep 0.5m; sleep 2>&1"]})), 30),
        (pod(hooked(httpGet={"path": "/stop"})), 60),
        (pod(hooked(sleep={"seconds": 90})), 2),
        (pod(PROXY, WORKER), 60),
        (pod(PROXY, hooked(sleep={"seconds": 10})), 50),
        (pod({"name": "one"}, {"name": "other"}), 60),
    ],
)
def test_the_hook_of_the_workers_container_counts_in(described: Any, seconds: float) -> None:
    assert grace_in(described) == seconds


GRACE = "terminationGracePeriodSeconds"


@pytest.mark.parametrize(
    "strange",
    [
        None,
        [],
        {},
        {"spec": 1},
        {"spec": {"containers": [1]}},
        {"spec": {GRACE: 10**400}},
        {"spec": {GRACE: float("inf")}},
        {"spec": {GRACE: float("nan")}},
        {"spec": {GRACE: -1}},
        {"spec": {GRACE: True}},
    ],
    ids=lambda strange: repr(strange)[:60],
)
def test_an_answer_that_is_no_pod_is_silence(strange: Any) -> None:
    with pytest.raises(Silent):
        grace_in(strange)


class Api:
    """The API server of a cluster, with one service account."""

    def __init__(self, folder: Path) -> None:
        self.status, self.answer, self.delay = 200, json.dumps(pod(WORKER)), 0.0
        self.asked: list[tuple[str, str]] = []
        self.hurry = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append((self.path, self.headers.get("Authorization", "")))
                api.hurry.wait(api.delay)
                self.send_response(api.status)
                self.end_headers()
                self.wfile.write(api.answer.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.mounted = folder
        certificate, key = folder / "ca.crt", folder / "key.pem"
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        make += f" -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout {key}"
        subprocess.run([*make.split(), "-out", certificate], check=True, capture_output=True)
        (folder / "token").write_text("secret\n")
        (folder / "namespace").write_text("shops")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.environ = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.server.server_address[1]),
            "HOSTNAME": "shop-worker-5f6d",
        }

    def ask(self, patience: float = 5) -> Period | None:
        return ask(self.environ, patience, self.mounted)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    made = Api(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.hurry.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_pod_is_asked_for_with_the_service_account(api: Api) -> None:
    assert api.ask() == Period(60, "terminationGracePeriodSeconds of pod shop-worker-5f6d")
    assert api.asked == [("/api/v1/namespaces/shops/pods/shop-worker-5f6d", "Bearer secret")]


def test_the_downward_api_may_name_the_pod(api: Api) -> None:
    api.environ["POD_NAME"] = "other"
    api.ask()
    assert api.asked[0][0].endswith("/pods/other")


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_account_that_may_not_ask_gets_silence(api: Api, status: int) -> None:
    api.status = status
    with pytest.raises(Silent, match=f"{status}.*get on pods"):
        api.ask()


def test_garbage_is_silence(api: Api) -> None:
    api.answer = "<html>"
    with pytest.raises(Silent):
        api.ask()


def test_an_api_that_hangs_is_not_waited_for(api: Api) -> None:
    api.delay = 30.0
    began = time.monotonic()
    with pytest.raises(Silent):
        api.ask(patience=0.3)
    assert time.monotonic() - began < 15


def test_a_server_with_another_certificate_is_not_told_the_token(api: Api, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(ssl.DER_cert_to_PEM_cert(b"other"))
    with pytest.raises(Silent):
        api.ask()
    assert not api.asked


def test_nobody_listens(api: Api) -> None:
    api.environ["KUBERNETES_SERVICE_PORT"] = "1"
    with pytest.raises(Silent):
        api.ask()


def test_without_an_account_or_a_cluster_nobody_is_asked(tmp_path: Path) -> None:
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    assert account(inside, tmp_path) is None
    (tmp_path / "token").write_text("secret")
    (tmp_path / "namespace").write_text("shops")
    assert account({}, tmp_path) is None
    found = account({**inside, "HOSTNAME": "pod"}, tmp_path)
    assert found is not None
    assert (found.port, found.pod) == (443, "pod")
