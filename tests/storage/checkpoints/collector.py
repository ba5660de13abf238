"""A collector as the design describes it, for writers to survive.

It ignores generations unless told otherwise, which makes it more aggressive than a real one.
"""

import itertools
import json
import secrets

from storage.checkpoints.format import canonical
from storage.checkpoints.format.head import Head
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import collection_key, collection_number
from storage.objects import Exists, LostRace, NotFound

from .fake_store import FakeServer, FakeStore, Request

PREFIX = "ck/"


def collect(store: FakeStore, *, heed_generations: bool = False) -> str:
    """One collection; how it ended."""
    try:
        return _collect(store, heed_generations)
    except NotFound:
        return "a named manifest cannot be read"


def _collect(store: FakeStore, heed_generations: bool) -> str:
    newest = _newest(store)
    listed = [info.key.removeprefix(PREFIX) for info in store.scan(PREFIX)]
    candidates = {key for key in listed if key.startswith("packs/") or "/manifests/" in key}
    if heed_generations:
        candidates = {key for key in candidates if int(key.rpartition("/")[2].partition("-")[0]) < newest}
    for run in _runs(store):
        candidates -= _named(store, run, Head.from_bytes(store.get(_head(run)).data, run))
    text = canonical.dumps({"condemned": sorted(candidates)})
    try:
        store.put_if_absent(PREFIX + collection_key(newest + 1), text)
    except Exists:
        return "another collects"
    for run in _runs(store):
        while True:
            found = store.get(_head(run))
            head = Head.from_bytes(found.data, run)
            try:
                store.put_if_match(_head(run), head.changed(secrets.token_hex(16)).to_bytes(), found.etag)
            except LostRace:
                continue
            candidates -= _named(store, run, head)
            break
    if _newest(store) > newest + 1:
        return "superseded"
    for key in sorted(candidates):
        store.delete(PREFIX + key)
    return f"deleted {len(candidates)}"


def drop(store: FakeStore, run: str, keep: int = 0) -> None:
    """Retention: drop all but the last `keep` commits of a run."""
    while True:
        try:
            found = store.get(_head(run))
        except NotFound:
            return
        head = Head.from_bytes(found.data, run)
        if len(head.commits) <= keep:
            return
        kept = head.commits[len(head.commits) - keep :]
        try:
            store.put_if_match(
                _head(run), head.changed(secrets.token_hex(16), commits=kept).to_bytes(), found.etag
            )
        except LostRace:
            continue
        return


class Watch:
    """After every change: whatever a head names is there. Collects what is not in `losses`."""

    def __init__(self, server: FakeServer) -> None:
        self.losses: list[str] = []
        self._needs: dict[str, dict[str, int]] = {}
        server.watchers.append(self)

    def __call__(self, server: FakeServer, request: Request) -> None:
        if not (request.key.endswith("/head") or request.verb == "delete"):
            return
        for key, data in server.objects.items():  # a head that a test has garbled names nothing
            if key.startswith(f"{PREFIX}runs/") and key.endswith("/head") and data.startswith(b"{"):
                self._check(
                    server, key.split("/")[2], json.loads(data), request
                )  # else it was made unreadable

    def _check(self, server: FakeServer, run: str, head: dict, request: Request) -> None:
        pages = [f"{PREFIX}runs/{run}/pages/{name}" for name, _ in head["pages"]]
        self.losses += [f"{request}: {run} has lost {page}" for page in pages if page not in server.objects]
        older = [json.loads(server.objects[page])["commits"] for page in pages if page in server.objects]
        for commit in itertools.chain(*older, head["commits"]):
            if commit["damaged"]:
                continue
            key = f"{PREFIX}runs/{run}/manifests/{commit['manifest'][0]}"
            if key not in server.objects:
                self.losses.append(f"{request}: {run}/{commit['id']} has lost its manifest")
                continue
            if key not in self._needs:
                self._needs[key] = dict(Manifest.from_bytes(server.objects[key], key).packs)
            for pack, size in self._needs[key].items():
                if len(server.objects.get(f"{PREFIX}packs/{pack}", b"")) != size:
                    self.losses.append(f"{request}: {run}/{commit['id']} has lost {pack}")


def _named(store: FakeStore, run: str, head: Head) -> set[str]:
    keys = set()
    for commit in head.commits:
        key = f"runs/{run}/manifests/{commit.manifest}"
        data = store.get(PREFIX + key).data
        keys |= {key} | {f"packs/{pack}" for pack in Manifest.from_bytes(data, key).packs}
    return keys


def _newest(store: FakeStore) -> int:
    keys = [info.key.removeprefix(PREFIX) for info in store.scan(f"{PREFIX}collections/")]
    return max((collection_number(key) for key in keys), default=0)


def _runs(store: FakeStore) -> list[str]:
    keys = [info.key for info in store.scan(f"{PREFIX}runs/")]
    return [key.split("/")[2] for key in keys if key.endswith("/head")]


def _head(run: str) -> str:
    return f"{PREFIX}runs/{run}/head"
