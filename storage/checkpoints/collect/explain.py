"""Say where garbage comes from: which commit it belonged to, as far as manifests still tell, and what stays.

Reads every manifest that is condemned, and where one names packs that stay, the packs of all others (once
ever, with `PackLists`). Memory: one line of text for each pack of what is condemned.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from storage.checkpoints.collect.collected import Doomed
from storage.checkpoints.collect.keepers import Keeper, in_words, keepers
from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.errors import CheckpointError
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.head import MANIFEST_LIMIT
from storage.checkpoints.format.manifest import packs_of
from storage.checkpoints.format.names import Kind, manifest_key
from storage.checkpoints.format.shelf import Shelf
from storage.objects import NotFound

UNKNOWN = "no manifest that is left names it: of a save that was cut short, or of a commit long dropped"


def explain(
    shelf: Shelf, doomed: Iterable[Doomed], lists: PackLists | None = None
) -> Iterator[tuple[Doomed, str]]:
    """Each object that a collection condemns, with plain words about why nothing needs it.

    Of a manifest whose packs do not all go, the commits that keep them alive are told too.
    """
    owners: dict[str, str] = {}
    packs, pages, manifests = [], [], []
    for one in doomed:
        if one.kind is Kind.PACK:
            packs.append(one)
        elif one.kind is Kind.PAGE:
            pages.append(one)
        else:
            whose, named = _read(shelf, one)
            for pack in named:
                owners.setdefault(pack, f"needed by {whose}: dropped, or never committed")
            manifests.append((one, whose, tuple(named)))
    going = {one.name for one in packs}
    left = {pack for _, _, named in manifests for pack in named if pack not in going}
    kept_by = keepers(shelf, left, lists)
    for one in pages:
        yield one, f"a page of run {one.run} that was replaced by a newer one"
    for one, whose, named in manifests:
        yield one, f"{whose}: dropped, or never committed{_staying(named, kept_by)}"
    for one in packs:
        yield one, owners.get(one.name, UNKNOWN)


def _staying(named: Sequence[str], kept_by: Mapping[str, Sequence[Keeper]]) -> str:
    staying = [pack for pack in named if pack in kept_by]
    if not staying:
        return ""
    who = in_words(keeper for pack in staying for keeper in kept_by[pack])
    return f"; {len(staying)} of its {len(named)} packs stay, needed by {who}"


def _read(shelf: Shelf, one: Doomed) -> tuple[str, Iterable[str]]:
    """Whose manifest it is, and its packs."""
    what = f"manifest {one.name} of run {one.run}"
    try:
        data = shelf.files.get(manifest_key(one.run, one.name), MANIFEST_LIMIT).data
        value = canonical.loads(data, what)
        step = fields.count(value["step"], what) if isinstance(value, dict) and "step" in value else "?"
        return f"step {step} of run {one.run}", packs_of(data, what)
    except (CheckpointError, NotFound) as error:
        return f"run {one.run} ({error})", ()
