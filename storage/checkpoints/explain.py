"""Say where garbage comes from: which commit it belonged to, as far as manifests still tell.

Reads every manifest that is condemned; memory: one line of text for each pack of theirs.
"""

from collections.abc import Iterable, Iterator

from storage.checkpoints import canonical, fields
from storage.checkpoints.collected import Doomed
from storage.checkpoints.errors import CheckpointError
from storage.checkpoints.manifest import packs_of
from storage.checkpoints.names import Kind, manifest_key
from storage.checkpoints.shelf import Shelf
from storage.objects import NotFound

UNKNOWN = "no manifest that is left names it: of a save that was cut short, or of a commit long dropped"


def explain(shelf: Shelf, doomed: Iterable[Doomed]) -> Iterator[tuple[Doomed, str]]:
    """Each object that a collection condemns, with plain words about why nothing needs it."""
    owners: dict[str, str] = {}
    packs = []
    for one in doomed:
        if one.kind is Kind.PACK:
            packs.append(one)
        elif one.kind is Kind.PAGE:
            yield one, f"a page of run {one.run} that was replaced by a newer one"
        else:
            whose, named = _read(shelf, one)
            for pack in named:
                owners.setdefault(pack, f"needed by {whose}: dropped, or never committed")
            yield one, f"{whose}: dropped, or never committed"
    for one in packs:
        yield one, owners.get(one.name, UNKNOWN)


def _read(shelf: Shelf, one: Doomed) -> tuple[str, Iterable[str]]:
    """Whose manifest it is, and its packs."""
    what = f"manifest {one.name} of run {one.run}"
    try:
        data = shelf.files.get(manifest_key(one.run, one.name)).data
        value = canonical.loads(data, what)
        step = fields.count(value["step"], what) if isinstance(value, dict) and "step" in value else "?"
        return f"step {step} of run {one.run}", packs_of(data, what)
    except (CheckpointError, NotFound) as error:
        return f"run {one.run} ({error})", ()
