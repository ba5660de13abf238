"""Whom the doctor looks at: a root, and the settings of a run where there are some."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import UserError

if TYPE_CHECKING:
    from pipelines.config.model import RunConfig
    from pipelines.config.storage import StorageConfig


@dataclass(frozen=True, slots=True)
class Read:
    """What reading the settings gave."""

    run: "RunConfig | None" = None
    """None: there is no file, or it is wrong."""
    storage: "StorageConfig | None" = None
    """None: the settings are wrong, so nobody knows where the bucket is."""
    trouble: UserError | None = None


@dataclass(slots=True)
class Case:
    """What all checks are given."""

    root: Path
    config: Path
    assignments: Sequence[str]
    optional: bool
    """Without such a file the embedded server is meant; else a missing file is a mistake."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _read: Read | None = field(default=None, repr=False)

    def settings(self) -> Read:
        """The settings, read by whoever asks first."""
        with self._lock:
            if self._read is None:
                self._read = self._load()
            return self._read

    def _load(self) -> Read:
        from pipelines.config.storage import default_storage

        try:
            if self.optional and not self.config.exists():
                return Read(storage=default_storage(self.assignments))
            # Imported only here: the settings' parts belong to modules that need torch.
            from pipelines.config.load import load

            run = load(self.config, assignments=self.assignments)
            return Read(run=run, storage=run.storage)
        except UserError as error:
            return Read(trouble=error)
