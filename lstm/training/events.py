"""What a running job tells whoever started it: one JSON object per line on rank 0's standard output.

`started`    step, steps, ranks, resumed_from (commit id or None), notes (why not bit-exact, say)
`progress`   step, steps, epoch, loss (since the last), windows_per_s, waiting_share, read_amplification (of
             rank 0; see WindowStream), checkpoint_bytes, durable_step (newest in the bucket); where rank 0's
             seconds since the last have gone: computing_s, waiting_s (for data), validating_s, saving_s
`note`       message (plain words about something that could go better)
`checkpoint` step, commit, metrics, raw_bytes (of the state), new_bytes (stored by this commit); when it is
             durable, so some steps after the one it holds
`finished`   step, commit, reason ("budget" or "early stopping"), read_amplification; computing_s, … as above
`calibrated` step_s, validation_s (of a rehearsal; see `lstm.training.calibrate`)
`error`      message, user (True: the user can mend it)
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from storage.errors import UserError

Event = Mapping[str, Any]
_KINDS = frozenset({"started", "progress", "note", "checkpoint", "calibrated", "finished", "error"})


def emit(event: str, **values: Any) -> None:
    """Write one event; called by rank 0 only, except for `error`."""
    assert event in _KINDS, event
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def emit_error(error: BaseException) -> None:
    """Tell why this rank fails. One that fails in a part done together tells it twice; the first counts."""
    user = isinstance(error, UserError)
    emit("error", message=str(error) if user else f"{type(error).__name__}: {error}", user=user)


def parse(line: str) -> Event | None:
    """The event of one line of output, or None where the line is something else (a library's print)."""
    if not line.startswith('{"event": '):
        return None
    try:
        value: dict[str, Any] = json.loads(line)
    except ValueError:  # two ranks wrote into one line
        return None
    return value if value.get("event") in _KINDS else None
