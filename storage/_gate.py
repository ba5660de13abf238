"""Wait for the starter's word, then become the server. Run as a script; standard library only.

The starter spawns this file, writes down its process id, and only then says "go" on standard input. A
starter that dies in between closes the pipe, and this process ends: so no server runs that no record names.
`exec` keeps the process id and the start time, so the record stays true.

Usage: python -I -S _gate.py <parent pid, or 0 to outlive it> <program> <arguments…>
"""

import os
import sys


def main() -> None:
    """Wait for one line on standard input; no line, no server."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if parent:
        _die_with(parent)
    if not sys.stdin.readline():
        sys.exit("the starter ended before it had recorded this process")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        os.execv(command[0], command)  # noqa: S606 - this file's whole purpose; no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _die_with(parent: int) -> None:
    """Ask Linux for a SIGKILL when the parent's starting thread ends; elsewhere the parent must stop us."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig, sigkill = 1, 9
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, sigkill, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


if __name__ == "__main__":
    main()
