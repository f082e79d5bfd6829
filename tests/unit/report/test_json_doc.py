"""The reference of the JSON documents has every field that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from giltrace.capture.scheduling import What
from giltrace.report import diff, json
from tests.support import scheduling, stories
from tests.support.timeline import timeline

pytestmark = pytest.mark.repo

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "report-json.md"

STACKS = """
    cpu: hold 0-6ms at load.py:12 in spin from job.py:3 in run check
    io:  wait 1-6ms request@6ms hold 6-7ms at wire.py:5 in read call=_socket.socket.recv
"""


def fields(value: object) -> Iterator[str]:
    """All names of fields in a document."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from fields(item)
    elif isinstance(value, list):
        for item in value:
            yield from fields(item)


def test_every_field_is_documented() -> None:
    """Reports of all kinds of traces, and a comparison."""
    documented = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8")))
    told = [
        stories.convoy(), stories.LONG_HOLD, stories.ping_pong(), stories.needless(), STACKS,
        stories.HEALTHY, stories.UNSEEN,
    ]  # fmt: skip
    documents: list[object] = [json.as_object(timeline(text)) for text in told]
    documents.append(json.as_object(scheduling.timeline(stories.LONG_HOLD, (0, What.RUNS, 0, 0))))
    documents.append(diff.as_object(timeline(stories.needless()), timeline(stories.HEALTHY)))
    assert {name for document in documents for name in fields(document)} - documented == set()
