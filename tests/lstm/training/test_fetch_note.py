"""A user learns how often row groups are fetched, and is warned once when that is often."""

import pytest

from lstm.training.events import parse
from lstm.training.fetch_note import FetchNote


def test_fetching_row_groups_again_is_told_once_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    note = FetchNote(memory_mib=512)
    for times in (0.0, 1.0, 1.5):
        note.watch(times)
    assert capsys.readouterr().out == ""
    for times in (1.6, 8.0):
        note.watch(times)
    (line,) = capsys.readouterr().out.splitlines()
    event = parse(line)
    assert event is not None
    assert event["event"] == "note"
    for word in ("fetched 1.6 times per epoch", "training.memory_mib, now 512", "order.pool", "ranks"):
        assert word in event["message"]
