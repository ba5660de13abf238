"""Statistics of one file, which each format writes in its own way, as a mapping by logical column name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping

from storage.tables.protocol import ColumnStatistics


class FileStatistics(Mapping[str, ColumnStatistics]):
    """Decoded each time they are looked at, and not before: a table may have 10^6 files."""

    __slots__ = ()

    @abstractmethod
    def decoded(self) -> dict[str, ColumnStatistics]:
        """By logical column name; columns of which nothing is known are left out."""

    def __getitem__(self, name: str) -> ColumnStatistics:
        return self.decoded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.decoded())

    def __len__(self) -> int:
        return len(self.decoded())
