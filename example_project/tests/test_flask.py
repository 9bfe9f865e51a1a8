"""The Flask application, in a process of its own: Django and its Celery app stay outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import csv
from importlib.resources import files
import flask_app
path = str(files("airportsdata") / "airports.csv")
app, web = flask_app.app, flask_app.web
app.conf.update(task_always_eager=True, task_store_eager_result=True)
app.conf.update(broker_url="memory://", result_backend="cache+memory://")
with open(path, encoding="utf-8") as file:
    wanted = sum(row["country"] == "DE" for row in csv.DictReader(file))
client = web.test_client()
started = client.post("/counts/DE", data={"path": path}).get_json()
shown = client.get(f"/counts/DE/{started['id']}").get_json()
assert shown == {"state": "SUCCESS", "airports": wanted}, (shown, wanted)
assert wanted > 100
"""


def test_it_counts_in_an_application_context() -> None:
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
