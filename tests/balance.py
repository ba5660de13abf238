"""Which tests one process runs: those of a file, and both files that look at the trained run `waves`.

With that, each fixture of a file is made once, and `waves` is trained by one of the processes only.
"""

from xdist.scheduler import LoadFileScheduling

WAVES = frozenset({"tests/pipelines/test_flows.py", "tests/pipelines/report/test_flow.py"})
"""Each trains `waves` if nobody has yet. One that is missing here works, and may train it once more."""


class ByFile(LoadFileScheduling):
    """Hands out whole files."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "waves" if file in WAVES else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)
