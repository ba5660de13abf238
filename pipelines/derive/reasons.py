"""Why each setting is what it is, in the order in which the settings were chosen."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Reasons:
    """One plain line per setting, by its key (`window.context`), and remarks about the data."""

    by_key: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """What the user should know about the table: gaps, columns left out."""

    def add(self, key: str, reason: str) -> None:
        """Say why `key` is what it is; a later reason replaces an earlier one."""
        self.by_key[key] = reason

    def remark(self, text: str) -> None:
        """Say something about the table, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.by_key.items())
