"""What the chunks of a copied state were predicted from where it comes from: a copy offers that too.

A copy does not know an optimiser's parameters, but the manifest that it copies from says what was taken. Ids
may be of another key there; chunks that correspond stand in the same place of the same tensor.
"""

from collections.abc import Iterator, Mapping

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.predicting import Offer, Predictor, Previous


class Inheritance:
    """The source's manifests of the commit that is copied, and of the one before it."""

    def __init__(self, manifest: Manifest, before: "Inheritance | None" = None) -> None:
        self.manifest = manifest
        self.ours: dict[ChunkId, ChunkId] = {}
        """Ids of this commit's chunks at the target, by those at the source; known once it is drafted."""
        self._before = {} if before is None else before.ours

    def drafted(self, draft: Draft) -> Mapping[ChunkId, ChunkId]:
        """Ids at the target, by those at the source, of the chunks of this commit and of the one before."""
        for name, tensor in draft.tensors.items():
            if tensor.inline is None:
                self.ours.update(zip(self.manifest.tensors[name].chunks, tensor.chunks, strict=True))
        return {**self._before, **self.ours}


class InheritingPredictor(Predictor):
    """Offers what any save would, and what the source has taken."""

    def __init__(self, draft: Draft, previous: Previous | None, inheritance: Inheritance) -> None:
        super().__init__(draft, (), previous)
        self._manifest = inheritance.manifest
        self._names = inheritance.drafted(draft)
        self._theirs = {ours: theirs for theirs, ours in inheritance.ours.items()}

    def stages(self) -> list[list[ChunkId]]:
        """See `Predictor`: by what rests on what at the source."""
        depth: dict[ChunkId, int] = {}
        for theirs, at in self._manifest.locations.items():  # bases come first
            chunk = self._names.get(theirs, "")
            if chunk in self._theirs:
                inside = (depth[self._names[it]] for it in at.bases if self._names.get(it) in depth)
                depth[chunk] = max(inside, default=-1) + 1
        stages: list[list[ChunkId]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
        for chunk in self._draft.chunks:
            stages[depth.get(chunk, 0)].append(chunk)
        return stages

    def offers(self, chunk: ChunkId) -> Iterator[Offer]:
        """See `Predictor`."""
        yield from super().offers(chunk)
        at = self._manifest.locations.get(self._theirs[chunk])
        if at is None or not at.bases:
            return
        bases = tuple(self._names.get(it, "") for it in at.bases)
        if all(it in self._draft.chunks or it in self.earlier() for it in bases):
            yield self._offer(at.codec, bases, at.scalars)
