"""Streams of all ranks together, seen as what they mean: global batches."""

from contextlib import ExitStack

from lstm.windows import WindowStream


def windows_of(batch):
    """[(position, series, start, times, values)] of one rank's batch, hashable and exact to the bit."""
    return [
        (int(position), int(series), int(start), times.tobytes(), values.tobytes())
        for position, series, start, times, values in zip(
            batch.positions, batch.series, batch.starts, batch.times, batch.values, strict=True
        )
    ]


def drain(plan, reader, split, *, ranks, state=None, epochs=1, **options):
    """Run every rank from a cursor; [(epoch, index, size, windows by position)] of the global batches."""
    parts = []
    with ExitStack() as stack:
        for rank in range(ranks):
            stream = stack.enter_context(WindowStream(plan, reader, split, rank=rank, ranks=ranks, **options))
            if state is not None:
                stream.load_state_dict(state)
            parts.append([batch for _ in range(epochs) for batch in stream])
    return together(parts)


def together(parts):
    """Merge the batches of ranks, given as one list per rank."""
    merged = []
    for same in zip(*parts, strict=True):
        assert len({(batch.epoch, batch.index, batch.size) for batch in same}) == 1
        windows = sorted(window for batch in same for window in windows_of(batch))
        assert len(windows) == same[0].size
        merged.append((same[0].epoch, same[0].index, same[0].size, windows))
    return merged
