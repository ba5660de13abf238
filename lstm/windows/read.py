"""(Signatures first.) Rows of a snapshot as float32 blocks."""

from collections.abc import Sequence

from lstm.windows.plan import Plan
from storage.tables.protocol import Snapshot


class WindowReader:
    """Decodes superblocks with their halo; streams of one process may share it."""

    def __init__(
        self, snapshot: Snapshot, plan: Plan, columns: Sequence[str], budget_bytes: int = 512 * 2**20
    ) -> None:
        raise NotImplementedError
