"""What a running job tells whoever started it: one JSON object per line on rank 0's standard output.

`started`    step, steps, ranks, resumed_from (commit id or None), notes (why not bit-exact, say)
`progress`   step, steps, epoch, loss (since the last), windows_per_s, waiting_share, checkpoint_bytes
`checkpoint` step, commit, metrics, raw_bytes (of the state), new_bytes (stored by this commit)
`finished`   step, commit, reason ("budget" or "early stopping")
`error`      message, user (True: the user can mend it)
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]
_KINDS = frozenset({"started", "progress", "checkpoint", "finished", "error"})


def emit(event: str, **values: Any) -> None:
    """Write one event; called by rank 0 only, except for `error`."""
    assert event in _KINDS, event
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def parse(line: str) -> Event | None:
    """The event of one line of output, or None where the line is something else (a library's print)."""
    if not line.startswith('{"event": '):
        return None
    try:
        value: dict[str, Any] = json.loads(line)
    except ValueError:  # two ranks wrote into one line
        return None
    return value if value.get("event") in _KINDS else None
