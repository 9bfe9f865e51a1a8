"""A worker that is started by a script of the image, in a layout as cookiecutter-django has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from celery_graceful.doctor.facts import Deployed
from celery_graceful.doctor.readers import read_files

DOCKERFILE = """\
FROM docker.io/python:3.12-slim AS python

FROM python AS build-stage
COPY ./requirements .
RUN pip wheel --wheel-dir /wheels -r {kind}.txt

FROM python AS run-stage
ARG APP_HOME=/app
WORKDIR ${{APP_HOME}}
COPY --from=build-stage /wheels /wheels/
COPY --chown=django:django ./compose/production/django/entrypoint /entrypoint
RUN sed -i 's/\\r$//g' /entrypoint && chmod +x /entrypoint
COPY --chown=django:django ./compose/{kind}/django/celery/worker/start /start-celeryworker
RUN chmod +x /start-celeryworker
COPY --chown=django:django . ${{APP_HOME}}
ENTRYPOINT ["/entrypoint"]
"""
START = """\
#!/bin/bash

set -o errexit

{start}celery -A config.celery_app worker -l INFO
"""
BUILT = """\
services:
  django: &django
    build:
      context: .
      dockerfile: ./compose/production/django/Dockerfile
    command: /start
  celeryworker:
    <<: *django
    image: shop_celeryworker
    command: ["/start-celeryworker"]
    stop_grace_period: 45s
"""
IMAGE = """\
services:
  celeryworker:
    image: registry.example.com/shop
    command: ["/start-celeryworker"]
    stop_grace_period: 45s
"""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: celeryworker}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 45
      containers:
        - name: worker
          image: registry.example.com/shop
          command: ["/start-celeryworker"]
"""
DEPLOYED = {
    "docker-compose.production.yml": BUILT,
    "deploy/docker-compose.yml": IMAGE,
    "deploy/k8s/worker.yaml": MANIFEST,
}
SCRIPT = "compose/production/django/celery/worker/start"


def project(folder: Path, *, start: str = "exec ") -> None:
    files = {
        ".git/HEAD": "ref: refs/heads/main\n",
        "compose/production/django/entrypoint": '#!/bin/bash\nset -o errexit\n\nexec "$@"\n',
        "node_modules/one/Dockerfile": "FROM scratch\nCOPY x /start-celeryworker\n",
        **DEPLOYED,
    }
    for kind in ("local", "production"):
        files[f"compose/{kind}/django/Dockerfile"] = DOCKERFILE.format(kind=kind)
    files["compose/local/django/celery/worker/start"] = "#!/bin/bash\nexec watchfiles celery.x\n"
    files[SCRIPT] = START.format(start=start)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def worker(folder: Path, name: str) -> Deployed:
    [outcome] = read_files([str(folder / name)])
    assert outcome.troubles == ()
    [found] = outcome.workers
    return found


@pytest.mark.parametrize("name", DEPLOYED)
@pytest.mark.parametrize("start", ["exec ", ""])
def test_the_script_that_starts_the_worker_is_read(name: str, start: str, tmp_path: Path) -> None:
    project(tmp_path, start=start)
    found = worker(tmp_path, name)
    assert found.command.file == str(tmp_path / SCRIPT), "not that of the image for developers"
    assert found.command.line == 5
    assert all(shell.execs for shell in found.command.shells) is bool(start)
    assert found.grace is not None
    assert found.grace.value == 45


def test_no_script_that_is_not_in_the_tree(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / SCRIPT).unlink()
    [outcome] = read_files([str(tmp_path / "deploy/k8s/worker.yaml")])
    assert not outcome.workers


def test_nothing_above_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".git/HEAD").unlink()
    (tmp_path / ".git").rmdir()
    [outcome] = read_files([str(tmp_path / "deploy/k8s/worker.yaml")])
    assert not outcome.workers
