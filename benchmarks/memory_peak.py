"""Peak resident memory of this process since a moment: exact, where Linux tells it."""

import resource
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> float:
    """Begin anew; MB that are resident now. Without /proc nothing is forgotten."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # proc(5): resets the peak of the resident set
    return peak_mb()


def peak_mb() -> float:
    """The most MB since `forget_peak`."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    (line,) = (it for it in _STATUS.read_text().splitlines() if it.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10
