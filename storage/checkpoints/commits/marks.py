"""Tags, pins and notes: fields of commits in a head, no copies. Anybody may set them, trainer or not."""

from collections.abc import Callable
from dataclasses import replace

from storage.checkpoints.commits.edits import Changes, edit_run
from storage.checkpoints.errors import CommitMissing, InvalidName
from storage.checkpoints.format.head import Commit, newest_first
from storage.checkpoints.format.names import TEXT_LIMIT, checked_tags, checked_text
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.choosing import NEWEST, find_commit


def tag(shelf: Shelf, run: str, wanted: str, name: str) -> Commit:
    """Let a tag name this commit and no other one of the run."""
    (checked,) = checked_tags([name])

    def decide(commits: tuple[Commit, ...], chosen: Commit) -> Changes:
        others = [it for it in commits if checked in it.tags and it.id != chosen.id]
        tags = tuple(dict.fromkeys((*chosen.tags, checked)))
        return {chosen.id: replace(chosen, tags=tags)} | {it.id: _untagged(it, checked) for it in others}

    return _edit(shelf, run, wanted, f"tagging {run}/{wanted} as {checked!r}", decide)


def untag(shelf: Shelf, run: str, name: str) -> None:
    """Remove a tag from the run; its commit stays. Raises CommitMissing: there is no such tag."""

    def decide(commits: tuple[Commit, ...]) -> Changes:
        return {commit.id: _untagged(commit, name) for commit in commits if name in commit.tags}

    if not edit_run(shelf, run, f"removing tag {name!r} from run {run!r}", decide).changes:
        raise CommitMissing(f"run {run!r} has no tag {name!r}")


def pin(shelf: Shelf, run: str, wanted: str, holder: str) -> Commit:
    """Keep a commit from being dropped as long as `holder` needs it."""
    if not 0 < len(holder) <= TEXT_LIMIT:
        raise InvalidName(f"say who needs the commit, in 1 to {TEXT_LIMIT} characters")
    checked_text(holder, "the holder of a pin")

    def decide(commits: tuple[Commit, ...], chosen: Commit) -> Changes:
        return {chosen.id: replace(chosen, pins=tuple(dict.fromkeys((*chosen.pins, holder))))}

    return _edit(shelf, run, wanted, f"pinning {run}/{wanted}", decide)


def unpin(shelf: Shelf, run: str, wanted: str, holder: str) -> Commit:
    """Take back a pin of `holder`. Raises CommitMissing: they have none on it."""

    def decide(commits: tuple[Commit, ...], chosen: Commit) -> Changes:
        if holder not in chosen.pins:
            raise CommitMissing(
                f"{run}/{chosen.id} is not pinned by {holder!r}; its pins: {', '.join(chosen.pins) or 'none'}"
            )
        return {chosen.id: replace(chosen, pins=tuple(it for it in chosen.pins if it != holder))}

    return _edit(shelf, run, wanted, f"unpinning {run}/{wanted}", decide)


def note(shelf: Shelf, run: str, wanted: str, text: str) -> Commit:
    """Say something about a commit, in place of what was said before; "" removes it."""
    if len(text) > TEXT_LIMIT:
        raise InvalidName(f"a note has at most {TEXT_LIMIT} characters, this one {len(text)}")
    checked_text(text, "the note")
    return _edit(
        shelf,
        run,
        wanted,
        f"noting something about {run}/{wanted}",
        lambda commits, chosen: {chosen.id: replace(chosen, note=text)},
    )


def _edit(
    shelf: Shelf,
    run: str,
    wanted: str,
    what: str,
    decide: Callable[[tuple[Commit, ...], Commit], Changes],
) -> Commit:
    """Change the commit that `wanted` names: an id, its first digits, a tag, or "newest". The commit then."""
    chosen: list[Commit] = []

    def changes(commits: tuple[Commit, ...]) -> Changes:
        known = {commit.id: commit for commit in commits}
        found = _find(run, commits, chosen[0].id if chosen else wanted)
        chosen[:] = [found]  # a tag may move on between two tries: stay with what was meant
        return {it: commit for it, commit in decide(commits, found).items() if commit != known[it]}

    edited = edit_run(shelf, run, what, changes)
    return edited.changes.get(chosen[0].id) or chosen[0]


def _find(run: str, commits: tuple[Commit, ...], wanted: str) -> Commit:
    healthy = [commit for commit in newest_first(commits) if not commit.damaged]
    return healthy[0] if wanted == NEWEST and healthy else find_commit(run, commits, wanted)


def _untagged(commit: Commit, name: str) -> Commit:
    return replace(commit, tags=tuple(it for it in commit.tags if it != name))
