"""Which tests one process runs: those of a file, and all files that look at the trained run `waves`.

With that, each fixture of a file is made once, and `waves` is trained by one of the processes only.
"""

from xdist.scheduler import LoadFileScheduling

TRAINED = frozenset(
    f"tests/pipelines/{name}.py"
    for name in ("test_flows", "test_json", "report/test_flow", "upkeep/test_status")
)
"""Files that ask for the fixture `trained`. One that is missing here works, and trains once more."""


class ByFile(LoadFileScheduling):
    """Hands out whole files."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "trained" if file in TRAINED else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)
