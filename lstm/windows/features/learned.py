"""What is learned of the training rows beside a model's weights: vocabularies and scaling statistics.

Keep it with the weights (`to_json`), and give it back to read another snapshot, or another plan, the same
way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm.windows.errors import WindowError
from lstm.windows.features.scaling import Scaling, fit_scaling
from lstm.windows.features.series_scaling import SeriesScaling, fit_series_scaling
from lstm.windows.features.vocabulary import Vocabulary, fit_vocabularies
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class Learned:
    """Vocabularies of categories, and the statistics of scaled columns."""

    vocabularies: Mapping[str, Vocabulary]
    scaling: Scaling | SeriesScaling | None
    """By series if a column is scaled so; None: no column is scaled."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, exact to the bit."""
        by_series = isinstance(self.scaling, SeriesScaling)
        return {
            "vocabularies": [vocabulary.to_json() for vocabulary in self.vocabularies.values()],
            "by_series": by_series,
            "scaling": None if self.scaling is None else self.scaling.to_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Learned:
        """The inverse of `to_json`."""
        read = [Vocabulary.from_json(vocabulary) for vocabulary in values["vocabularies"]]
        kind = SeriesScaling if values["by_series"] else Scaling
        scaling = None if values["scaling"] is None else kind.from_json(values["scaling"])
        return cls({vocabulary.column: vocabulary for vocabulary in read}, scaling)

    def check(self, columns: Sequence[Column]) -> None:
        """Make sure that it was learned of these columns, in any order, and maybe of others too.

        Raises:
            WindowError: a category or the statistics of scaled columns are lacking.
        """
        lacking = [it.name for it in columns if it.kind == "category" and it.name not in self.vocabularies]
        known = set(_cells(self.scaling))
        scaled = [it for it in columns if it.scaling != "none"]
        lacking += [it.name for it in scaled if not known.issuperset(it.cells)]
        lacking += [
            it.name for it in scaled if it.scaling == "series" and not isinstance(self.scaling, SeriesScaling)
        ]
        if lacking:
            raise WindowError(
                f"nothing was learned of the columns {', '.join(dict.fromkeys(lacking))}; leave `learned` "
                "out to learn it of this table's training rows"
            )


NOTHING_LEARNED = Learned({}, None)
"""Of plain numbers, as the table holds them."""


def learn(snapshot: Snapshot, plan: Plan, columns: Sequence[Column]) -> Learned:
    """Read training rows once for each: vocabularies of categories, and statistics if any is scaled."""
    categories = [column.name for column in columns if column.kind == "category"]
    vocabularies = fit_vocabularies(snapshot, plan, categories)
    numbers = unfilled(columns)
    how = {column.scaling for column in columns}
    if "series" in how:
        return Learned(vocabularies, fit_series_scaling(snapshot, plan, numbers))
    return Learned(vocabularies, None if how <= {"none"} else fit_scaling(snapshot, plan, numbers))


def unfilled(columns: Sequence[Column]) -> list[Column]:
    """The numbers that change with time, as the table holds them: what is filled enters no statistics."""
    changing = [column for column in columns if not column.is_id and column.role != "static"]
    return [Column(name=column.name, width=column.width) for column in changing]


def _cells(scaling: Scaling | SeriesScaling | None) -> tuple[str, ...]:
    if scaling is None:
        return ()
    return scaling.whole.columns if isinstance(scaling, SeriesScaling) else scaling.columns
