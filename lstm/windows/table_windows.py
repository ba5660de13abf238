"""A table cut into windows and made ready to read: what `open_windows` gives, and streams are made from."""

from dataclasses import dataclass
from typing import NoReturn

from lstm.windows.contexts import LastContexts, last_contexts
from lstm.windows.features.finish import Finish
from lstm.windows.features.learned import NOTHING_LEARNED, Learned, unfilled
from lstm.windows.features.scaling import Scaling, fit_scaling
from lstm.windows.index.runs import Entity
from lstm.windows.plan.plan import Plan
from lstm.windows.read.process import refuse_to_travel
from lstm.windows.read.read import WindowReader
from lstm.windows.spec import Split
from lstm.windows.stream import WindowStream
from lstm.windows.track_stream import TrackStream
from storage.tables import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class TableWindows:
    """One pinned snapshot, cut into windows; its streams share one reader and so one budget of memory."""

    snapshot: Snapshot
    plan: Plan
    reader: WindowReader
    learned: Learned = NOTHING_LEARNED
    """Vocabularies and statistics of the training rows: keep them with the weights."""
    finish: Finish | None = None
    """What a batch goes through after its rows are copied; None: what its columns need."""

    def stream(
        self,
        split: Split = "train",
        *,
        batch_size: int = 256,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        ordered: bool = False,
        prefetch: int = 2,
    ) -> WindowStream:
        """One rank's part of the batches of a split. Raises as `WindowStream`."""
        return WindowStream(
            self.plan,
            self.reader,
            split,
            seed=seed,
            batch_size=batch_size,
            rank=rank,
            ranks=ranks,
            ordered=ordered,
            prefetch=prefetch,
            finish=self.finish,
        )

    def tracks(
        self,
        split: Split = "train",
        *,
        tracks: int,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 2,
    ) -> TrackStream:
        """One rank's tracks of a split, for truncated backpropagation. Raises as `TrackStream`."""
        return TrackStream(
            self.plan,
            self.reader,
            split,
            tracks=tracks,
            seed=seed,
            rank=rank,
            ranks=ranks,
            prefetch=prefetch,
            finish=self.finish,
        )

    def __reduce__(self) -> NoReturn:
        refuse_to_travel("an opened table")

    def scaling(self) -> Scaling:
        """Mean and deviation of every number over the training rows. Reads them once."""
        return fit_scaling(self.snapshot, self.plan, unfilled(self.reader.features.columns))

    def last_contexts(self) -> LastContexts:
        """The newest context of every series, to forecast what does not exist yet; see `last_contexts`."""
        return last_contexts(self.plan, self.reader, self.finish)

    @property
    def static_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the last axes of a batch's `static` and `static_ids` hold."""
        if self.finish is None or self.finish.statics is None:
            return (), ()
        return self.finish.statics.numbers, self.finish.statics.categories

    @property
    def new_entities(self) -> tuple[Entity, ...]:
        """Entities without a training row: scaling by series takes the whole table's for them."""
        return () if self.finish is None else self.finish.fallen
