"""Give way: a thread that the kernel runs only where nobody else wants the core."""

import os
import sys
import threading


def give_way(niceness: int) -> None:
    """Lower the priority of this thread, and of all that it starts from now on.

    Linux keeps a priority per thread; elsewhere it belongs to the whole process, so nothing is changed there.

    Args:
        niceness: 0 (as others) to 19 (a seventieth of another thread's share of a contended core).
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
