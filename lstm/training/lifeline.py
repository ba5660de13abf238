"""Die with the parent: a rank must not outlive its launcher, nor the launcher whoever started it.

On Linux the kernel sends the signal (`prctl(PR_SET_PDEATHSIG)`), also after `kill -9` of the parent;
elsewhere a thread asks once a second. The kernel watches the parent's *thread*, so the parent must
start its children from a thread that lives as long as they should.
"""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
PARENT = "CAROUSEL_PARENT_PID"
"""Environment variable in which a parent leaves its pid for the child that calls `die_with_parent`."""


def die_with_parent() -> None:
    """End this process (SIGKILL) as soon as the parent that set `CAROUSEL_PARENT_PID` is gone."""
    parent = int(os.environ[PARENT])
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="lifeline").start()
    if os.getppid() != parent:  # it died before we could ask to be told
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        threading.Event().wait(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
