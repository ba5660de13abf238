"""Commit what the spool of this host has kept of a run, as the run's new trainer.

A spooled state belongs to the attempt that made it. After a take-over it is committed only where the run has
not gone on elsewhere: it must be newer than the newest undamaged commit, and that commit must be one that
the state's own attempt wrote or went on from, or itself a state of this spool. Anything else is forgotten,
and said.
"""

from storage.checkpoints.background.spool import Spool, Spooled
from storage.checkpoints.background.spool_file import SpooledState
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import newest_first
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.writer import RunWriter


def recover(spool: Spool, writer: RunWriter) -> tuple[str, ...]:
    """Commit the states in `spool` that the run of `writer` may go on from; the spool is empty then.

    Call it right after a take-over, before `writer.resume()`, which then finds them as the newest commits.
    May be killed at any moment and called again.

    Returns:
        What became of each state, in plain words.

    Raises:
        What `RunWriter.save` raises; nothing that is not durable in the bucket has left the spool then.
    """
    spool.sweep()
    notes: list[str] = []
    states: dict[Spooled, SpooledState] = {}
    found = spool.entries()
    for entry in found:
        try:
            states[entry] = spool.read(entry)
        except Damaged as error:
            notes.append(f"step {entry.step} in the spool is damaged and was passed over: {error}")
    identity = writer.repository.shelf.identity
    ids = {Draft.of(it.tensors, it.meta, it.step, identity).id for it in states.values()}
    for state in states.values():
        obstacle = _obstacle(state, writer, ids)
        if obstacle is None:
            writer.save(state.tensors, state.meta, step=state.step, metrics=state.metrics, tags=state.tags)
            notes.append(f"step {state.step} was in the spool of this host and is committed now")
        elif obstacle:
            notes.append(f"step {state.step} in the spool of this host was left out: {obstacle}")
    for entry in reversed(
        spool.entries()
    ):  # newest first: what is left by a kill is never newer than the run
        spool.remove(entry)
    return tuple(notes)


def _obstacle(state: SpooledState, writer: RunWriter, ids: set[str]) -> str | None:
    """Why a state must not be committed, "" where it is there already; None: it may be."""
    healthy = newest_first(tuple(commit for commit in writer.head.commits if not commit.damaged))
    if not healthy:
        return None if state.parent is None else "the run has lost the commit that it went on from"
    newest = healthy[0]
    if newest.step >= state.step:
        return "" if newest.id in ids else f"the run has reached step {newest.step} already"
    if newest.attempt == state.attempt or newest.id == state.parent or newest.id in ids:
        return None
    return f"attempt {newest.attempt} has gone on from an earlier step"
