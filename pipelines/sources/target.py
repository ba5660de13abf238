"""The table that rows go to."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pipelines.config.storage import StorageConfig
from storage.errors import UserError
from storage.tables.open import Format

if TYPE_CHECKING:
    from pipelines.config.model import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The table that rows go to."""

    uri: str
    format: Format | None = None
    """None: as it is; Delta, if it is new."""
    storage: StorageConfig = field(default_factory=StorageConfig)
    """The server that it lies on."""

    @classmethod
    def of(cls, config: "RunConfig") -> Self:
        """The table of a run.

        Raises:
            UserError: the run may only read it.
        """
        if config.table.access is not None:
            raise UserError(
                f"{config.table.uri} is only read by these settings (table.access); to append to it, name it "
                "and its server: --table, --endpoint-url, --profile"
            )
        return cls(uri=config.table.uri, format=config.table.format, storage=config.storage)
