"""Events are kept at every checkpoint, bounded, and read back as one curve whatever was killed in between."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from pipelines.report import attempts
from pipelines.report.attempts import Attempt, EventLog, merged, read_attempts
from pipelines.report.content import Missing, Timing
from pipelines.report.curves import curves_of, notes_of, timing_of
from storage.objects import Unreachable


def progress(step: int, loss: float | None = 1.0, seconds: float = 2.0) -> dict:
    parts = {"computing_s": seconds, "waiting_s": 0.5, "validating_s": 0.0, "saving_s": 0.0}
    return {"event": "progress", "step": step, "loss": loss, "windows_per_s": 100.0, **parts}


def started(step: int, *notes: str) -> dict:
    return {"event": "started", "step": step, "steps": 30, "notes": list(notes)}


CHECKPOINT = {"event": "checkpoint", "step": 3, "commit": "c", "metrics": {"training_loss": float("nan")}}


def log_to(bucket, said, run="r", attempt="1"):
    moments = count()
    clock = lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(moments))  # noqa: E731
    return EventLog(bucket, f"{attempts.folder('reports', run)}/events/{attempt}.jsonl", said.append, clock)


def test_events_are_there_from_a_checkpoint_on_and_after_the_end(bucket):
    said = []
    log = log_to(bucket, said)
    log(started(0))
    log(progress(1, float("nan")))
    assert read_attempts(bucket, "reports", "r") == []
    log(CHECKPOINT)
    (found,) = read_attempts(bucket, "reports", "r")
    assert [event["event"] for event in found.events] == ["started", "progress", "checkpoint"]
    assert found.events[1]["loss"] is None
    log(progress(2))
    with pytest.raises(KeyboardInterrupt), log:
        raise KeyboardInterrupt
    (found,) = read_attempts(bucket, "reports", "r")
    assert len(found.events) == 4
    assert said == []


class Gone:
    """A bucket that does not answer."""

    def put(self, key, data):
        raise Unreachable("nobody answers")


def test_a_bucket_that_is_gone_is_told_once_and_ends_nothing():
    said = []
    log = log_to(Gone(), said)
    for _ in range(3):
        log(CHECKPOINT)
    assert len(said) == 1
    assert "nobody answers" in said[0]


def test_a_long_training_keeps_a_bounded_number_of_reports_and_all_of_its_seconds(bucket, monkeypatch):
    monkeypatch.setattr(attempts, "MOST", 10)
    log = log_to(bucket, [])
    log(started(0))
    for step in range(1, 38):
        log(progress(step))
    log({"event": "finished", "step": 37})
    (found,) = read_attempts(bucket, "reports", "r")
    reports = found.of("progress")
    assert len(reports) <= 10
    assert sum(event["computing_s"] for event in reports) == pytest.approx(37 * 2)
    assert reports[-1]["step"] == 37


def test_merging_leaves_other_events_in_their_place():
    events = [started(0), progress(1, 1.0), CHECKPOINT, progress(2, 3.0), progress(3, 5.0)]
    names = [(event["event"], event["step"]) for event in merged(events)]
    assert names == [("started", 0), ("checkpoint", 3), ("progress", 2), ("progress", 3)]
    assert merged(events)[2]["loss"] == 2.0


def test_what_a_killed_attempt_did_beyond_its_successors_beginning_does_not_count():
    first = Attempt("1", (started(0), *(progress(step, 9.0) for step in range(1, 6))))
    never = Attempt("2", ())
    second = Attempt("3", (started(3, "not bit-exact"), *(progress(step, 1.0) for step in range(4, 7))))
    curves = curves_of([first, never, second], [], chosen="", budget=6)
    assert curves.steps == (1, 2, 3, 4, 5, 6)
    assert curves.losses == (9.0, 9.0, 9.0, 1.0, 1.0, 1.0)
    assert curves.resumed_at == (3,)
    timing = timing_of([first, never, second])
    assert isinstance(timing, Timing)
    assert timing.steps == curves.steps
    assert sum(timing.computing_s) == 12
    assert notes_of([first, second]) == ("not bit-exact",)


def test_the_last_seconds_come_with_the_end():
    end = {**progress(6), "event": "finished", "saving_s": 4.0}
    del end["windows_per_s"]
    timing = timing_of([Attempt("1", (started(0), progress(6), end))])
    assert isinstance(timing, Timing)
    assert timing.steps == (6, 6)
    assert timing.saving_s == (0.0, 4.0)


def test_a_page_has_few_laps_and_all_of_their_seconds():
    timing = timing_of([Attempt("1", (started(0), *(progress(step) for step in range(1, 1001))))])
    assert isinstance(timing, Timing)
    assert len(timing.steps) <= 200
    assert sum(timing.computing_s) == pytest.approx(2000)
    assert timing.steps[-1] == 1000


def test_without_events_there_is_no_timing_and_it_says_so():
    assert isinstance(timing_of([]), Missing)
    assert curves_of([], [], chosen="", budget=5).steps == ()


def test_lines_that_are_no_events_are_passed_over(bucket):
    lines = ["", "{", "[]", '{"event": 3}', json.dumps(started(0)), '{"event": "progress", "step": "x"}']
    bucket.put("reports/r/events/1.jsonl", "\n".join(lines).encode())
    found = read_attempts(bucket, "reports", "r")
    assert curves_of(found, [], chosen="", budget=5).steps == ()
    assert isinstance(timing_of(found), Missing)
