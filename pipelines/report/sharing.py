"""What the checkpoints of a run take, and what they share: from its head and its manifests."""

from collections import Counter
from collections.abc import Sequence

from pipelines.report.content import Checkpoints, CommitBytes, KindBytes, number
from pipelines.report.wording import counted
from storage.checkpoints import Commit, Repository
from storage.checkpoints.errors import CheckpointError
from storage.checkpoints.format.chunks import cut
from storage.checkpoints.format.manifest import Manifest

SHOWN = 200
"""Commits of which the page tells the bytes: the newest."""
READ = 40
"""Manifests that are read: those of the newest commits."""

_KINDS = {
    "model": "weights",
    "average": "moving average of the weights",
    "optimizer": "optimiser",
    "plan": "plan",
    "rng": "random generators",
}


def checkpoints_of(repository: Repository, run: str, commits: Sequence[Commit]) -> Checkpoints:
    """Stored against raw bytes; a chunk counts as reused where an earlier commit had stored it."""
    ordered = sorted(commits, key=lambda commit: commit.step)
    shown = ordered[-SHOWN:]
    looked = shown[-READ:]
    before = ordered[-READ - 1 : -READ]  # only to know what it had stored
    seen: set[str] = set()
    reused: dict[str, int] = {}
    raw, new, tensors = Counter[str](), Counter[str](), dict[str, int]()
    unread = 0
    for commit in [*before, *looked]:
        try:
            manifest = repository.shelf.read_manifest(run, commit)
        except CheckpointError:
            unread += 1
            continue
        if commit in before:
            seen.update(chunk for tensor in manifest.tensors.values() for chunk in tensor.chunks)
        else:
            reused[commit.id] = _count(manifest, seen, raw, new, tensors)
    note = ""
    if len(looked) < len(ordered):
        note = f"Sharing was looked at in the newest {len(looked)} of {len(ordered):,} commits."
    if unread:
        note += f" The manifests of {counted(unread, 'commit')} could not be read."
    return Checkpoints(
        commits=tuple(
            CommitBytes(
                id=commit.id,
                step=commit.step,
                created=commit.created,
                training_loss=number(commit.metrics.get("training_loss")),
                validation_loss=number(commit.metrics.get("validation_loss")),
                raw_bytes=commit.raw_bytes,
                stored_bytes=commit.new_bytes,
                tags=commit.tags,
                damaged=commit.damaged,
                reused_bytes=reused.get(commit.id),
            )
            for commit in shown
        ),
        total_commits=len(ordered),
        raw_bytes=sum(commit.raw_bytes for commit in ordered),
        stored_bytes=sum(commit.new_bytes for commit in ordered),
        kinds=tuple(
            KindBytes(kind=kind, tensors=tensors[kind], raw_bytes=raw[kind], new_bytes=new[kind])
            for kind in sorted(raw, key=lambda kind: -raw[kind])
        ),
        note=note.strip(),
    )


def _count(
    manifest: Manifest, seen: set[str], raw: Counter[str], new: Counter[str], tensors: dict[str, int]
) -> int:
    """Add one commit's chunks to the sums; the raw bytes of those that were `seen` in an earlier one.

    Tensors so small that the manifest itself holds them are written anew with each.
    """
    shared = 0
    found: Counter[str] = Counter()
    own: set[str] = set()
    for name, tensor in manifest.tensors.items():
        first = name.partition("/")[0]
        kind = _KINDS.get(first, "other")
        found[kind] += 1
        sizes = cut(tensor.dtype, tensor.shape, tensor.block_rows)
        for chunk, size in zip(tensor.chunks, sizes, strict=True):
            raw[kind] += size
            if chunk in seen and tensor.inline is None:
                shared += size
            else:
                new[kind] += size
                own.add(chunk)
    seen |= own
    tensors.update(found)
    return shared
