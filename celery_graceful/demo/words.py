"""The last words: the verdict for people, what they have seen, and where to read on."""

from __future__ import annotations

from celery_graceful.demo.verdict import INTERVALS, Verdict
from celery_graceful.text.terminal import prose_width, wrapped

_EPILOGUE = """
What you have seen: one Celery task went over all these files under one task id. The first worker
was told to stop, as in every deploy: the task finished the file it was at, saved its cursor and its
sums, and was handed to the next worker; nothing was lost and nothing was done twice. The second
worker was killed without a warning: when its lease had ended (3 s here, 30 s by default), the third
took the run up from the last saved checkpoint. A kill loses nothing and may repeat what ran since
then, {intervals} flush intervals of 1 s at most; the sums agree all the same, for they are saved
together with the cursor.

The task itself is a few lines: celery_graceful/demo/app.py

Read on: README.md, then docs/tutorial.md; docs/ also tells the guarantees and their limits.
"""


def of(verdict: Verdict) -> str:
    """The verdict as lines for a terminal."""
    seconds = verdict.seconds
    lines = [
        "",
        _row("", "the run", "a plain loop"),
        *(
            _row(name, _short(verdict.reported.get(name)), _short(verdict.expected[name]))
            for name in verdict.expected
        ),
        "",
        f"  items lost                      {verdict.lost}",
        f"  items repeated after SIGTERM    {verdict.repeated_after_sigterm}",
        f"  items repeated after SIGKILL    {verdict.repeated_after_sigkill}"
        f"  (up to {verdict.may_repeat} allowed)",
        f"  SIGTERM to exit                 {_time(seconds.sigterm_to_exit)}",
        f"  SIGTERM to first resumed item   {_time(seconds.sigterm_to_first_item)}",
        f"  SIGKILL to first resumed item   {_time(seconds.sigkill_to_first_item)}",
        f"  all in all                      {_time(seconds.total)}",
        "",
    ]
    if verdict.passed:
        lines.append("PASSED: stopped once, killed once, and the result is that of a plain loop.")
        for paragraph in _EPILOGUE.format(intervals=INTERVALS).split("\n\n"):
            lines += ["", *wrapped(" ".join(paragraph.split()), prose_width())]
    else:
        lines.append("FAILED:")
        lines += [f"  - {failure}" for failure in verdict.failures]
        lines.append("Run it again with --keep to look at the workers' logs.")
    return "\n".join(lines).rstrip("\n")


def _row(name: str, left: object, right: object) -> str:
    return f"  {name:<10}{left!s:>22}{right!s:>22}".rstrip()


def _short(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 20 else f"{text[:16]}…"


def _time(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"
