"""Whatever stands in a file: findings, never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor.planted import FILES
from tests.unit.doctor.sound import APP

VALUES = [
    "",
    "[]",
    "{}",
    "[1, [2]]",
    "{a: {b: c}}",
    "-1",
    "true",
    "~",
    "'x",
    "*a",
    "&a [*a]",
    "$(X)",
]


def examined(text: str, file: str) -> None:
    for finding in examine(APP, [read_text(text, file)]).findings:
        assert finding.what


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=60)
@given(data=st.data())
def test_lines_lost_doubled_and_given_other_values(file: str, data: st.DataObject) -> None:
    lines = FILES[file].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(["lose", "double", "value", "indent", "cut"]))
    line = lines[at]
    if what == "lose":
        del lines[at]
    elif what == "double":
        lines.insert(at, line)
    elif what == "indent":
        lines[at] = f"  {line}"
    elif what == "cut":
        lines[at] = line[: data.draw(st.integers(0, len(line)))]
    else:
        sign = ":" if ":" in line else "="
        lines[at] = f"{line.partition(sign)[0]}{sign} {data.draw(st.sampled_from(VALUES))}"
    examined("\n".join(lines), file)


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=60)
@given(text=st.text(alphabet="abk:={}[]-&*!|>'\"\\\n\t %#;$<@`", max_size=80))
def test_any_text(file: str, text: str) -> None:
    examined(text, file)
    examined(f"[program:a]\ncommand={text}", file)
    examined(f"[Service]\nExecStart={text}", file)
    examined(f"worker: {text}", file)
    examined(f"FROM a\nCMD {text}", file)
