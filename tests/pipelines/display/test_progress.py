"""What a person sees of a launch: one bar on a terminal, a line now and then elsewhere."""

import io

import pytest
from rich.console import Console

from pipelines.display.progress import TrainingProgress, fetched

EVENTS = [
    {"event": "started", "step": 0, "steps": 40, "ranks": 2, "resumed_from": None, "notes": []},
    {
        "event": "progress",
        "step": 10,
        "steps": 40,
        "epoch": 0,
        "loss": 0.25,
        "windows_per_s": 1234.5,
        "waiting_share": 0.02,
        "checkpoint_bytes": 1_200_000,
        "read_amplification": 1.0,
    },
    {"event": "note", "message": "each row group is fetched 8.0 times per epoch; a larger memory budget"},
    {"event": "checkpoint", "step": 20, "commit": "c0ffee", "metrics": {}, "raw_bytes": 1, "new_bytes": 1},
    {"event": "finished", "step": 40, "commit": "c0ffee", "reason": "budget", "read_amplification": 1.0},
]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_launch_is_shown_from_its_start_to_its_end(terminal: bool) -> None:
    shown = io.StringIO()
    with TrainingProgress(
        Console(file=shown, force_terminal=terminal, width=140, no_color=True, highlight=False)
    ) as progress:
        for event in EVENTS:
            progress(event)
    text = shown.getvalue()
    assert "finished at step 40 (budget), commit c0ffee" in text
    assert "each row group was read once per epoch" in text
    assert text.count("a larger memory budget") == 1
    if terminal:
        for word in (
            "40/40",
            "loss 0.2500",
            "1,234 windows/s",
            "2% waiting for data",
            "1.2 MB of checkpoints",
        ):
            assert word in text


@pytest.mark.parametrize(
    ("amplification", "words"),
    [
        (0.39, "39% of the row groups needed were read, the others were still in memory"),
        (1.0, "each row group was read once per epoch"),
        (1.84, "each row group was read 1.8 times per epoch"),
    ],
)
def test_how_much_was_read_is_told_in_true_words(amplification, words):
    assert fetched(amplification) == words
