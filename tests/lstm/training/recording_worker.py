"""A rank that also writes down which windows it trains on: one line of JSON per batch."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lstm.training import worker
from lstm.windows import Batch, WindowStream

TRACE = "CAROUSEL_TEST_TRACE"


class RecordedStream(WindowStream):
    """Tells of each training batch that it returns."""

    def __iter__(self) -> Iterator[Batch]:
        trace = Path(os.environ[TRACE]) / f"{os.environ[worker.ATTEMPT]}.{os.environ['RANK']}"
        for batch in super().__iter__():
            if self._split == "train":
                windows = [[int(s), int(at)] for s, at in zip(batch.series, batch.starts, strict=True)]
                with trace.open("a") as file:
                    file.write(json.dumps([batch.epoch, batch.index, windows]) + "\n")
            yield batch


if __name__ == "__main__":
    worker.WindowStream = RecordedStream
    sys.exit(worker.main())
