"""Give way: a thread that the kernel runs only where nobody else wants the core."""

import os
import sys
import threading


def give_way(niceness: int) -> None:
    """Lower the priority of this thread, and of all that it starts from now on.

    Linux keeps a priority per thread; elsewhere it belongs to the whole process, so nothing is changed there.

    Args:
        niceness: by how much it gives way, from 0 (not at all) to 19: a seventieth of what another thread
            gets of a core that both want. Added to what the process has; there is nothing beyond 19.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)  # never less: only root may take priority back
        os.setpriority(os.PRIO_PROCESS, thread, min(19, now + niceness))
