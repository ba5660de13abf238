"""The writer's half of the collection protocol, against a collector that is more aggressive than a real one.

Each trace is a short way to lose data when one rule is left out (found by a search of the protocol's
states). It is played twice: as the code is, nothing is lost; without the rule, the watch sees the loss.
"""

import pytest

from storage.checkpoints import Damaged, RunWriter
from storage.checkpoints.format import canonical

from .collector import PREFIX, Watch, collect, drop
from .fake_store import FakeServer, FakeStore
from .rules import (
    without_check,
    without_if_match,
    without_listing_again,
    without_listing_first,
    without_own_objects,
    without_the_first_list,
)
from .simulation import Simulation
from .states import begun, repository, state


def new_state_of_a_resumed_trainer(store: FakeStore) -> object:
    writer = RunWriter.take_over(repository(store), "run", "a2")
    return writer.save(state(w=1), {}, step=1)


def new_state_in_the_steady_state(store: FakeStore) -> object:
    return begun(store).save(state(w=1), {}, step=1)


def fork_of_the_newest(store: FakeStore) -> object:
    return repository(store).fork("run", "newest", "child", "b1")


def own_pack_is_condemned_before_the_commit(simulation: Simulation) -> None:
    """A collection sees the new pack before any head names it."""
    begun(FakeStore(simulation.server))
    simulation.start("writer", new_state_of_a_resumed_trainer)
    simulation.advance("writer", "put_if_match", "/head")  # of the take-over
    simulation.advance("writer", "get", "/head")  # pack and manifest are there
    simulation.start("collector", collect)
    simulation.advance("collector", "delete")
    simulation.advance("writer")
    simulation.advance("collector")


def head_is_rewritten_after_it_was_read(simulation: Simulation) -> None:
    """The collection comes between the writer's look at collections and its commit."""
    begun(FakeStore(simulation.server))
    simulation.start("writer", new_state_of_a_resumed_trainer)
    simulation.advance("writer", "put_if_match", "/head")  # of the take-over
    simulation.advance("writer", "get", "/head")
    simulation.advance("writer", "put_if_match", "/head")  # of the commit
    simulation.start("collector", collect)
    simulation.advance("collector", "delete")
    simulation.advance("writer")
    simulation.advance("collector")


def head_is_rewritten_while_memory_is_trusted(simulation: Simulation) -> None:
    """The same in the steady state, where the writer has not looked at all."""
    simulation.start("writer", new_state_in_the_steady_state)
    simulation.advance("writer", "put_if_match", "/head")  # of step 0
    simulation.advance("writer", "put", "/packs/")
    simulation.advance("writer", "put_if_match", "/head")  # of step 1
    simulation.start("collector", collect)
    simulation.advance("collector", "delete")
    simulation.advance("writer")
    simulation.advance("collector")


def newest_list_condemns_what_a_head_still_names(simulation: Simulation) -> None:
    """A pack is condemned, named, learned of by a fork, and dropped before its head is rewritten."""
    server = simulation.server
    begun(FakeStore(server))
    drop(FakeStore(server), "run")
    simulation.start("writer", new_state_of_a_resumed_trainer)
    simulation.advance("writer", "put_if_match", "/head")  # of the take-over
    simulation.advance("writer", "get", "/head")
    simulation.advance("writer", "put_if_match", "/head")  # of the commit
    simulation.start("collector", collect)
    simulation.advance("collector", "put_if_absent", "collections/")  # has marked without the commit
    simulation.advance("writer")
    simulation.advance("collector", "put_if_match")  # collection 1 condemns the commit's pack
    simulation.start("fork", fork_of_the_newest)
    simulation.advance("fork", "put", "/child/manifests")  # knows collection 1, has read the parent
    drop(FakeStore(server), "run")
    simulation.advance("collector", "delete")
    simulation.advance("fork")
    simulation.advance("collector")


def two_collections_while_a_fork_reads(simulation: Simulation) -> None:
    """One deletes the pack that a fork has learned of, another one begins before the fork goes on."""
    server = simulation.server
    begun(FakeStore(server))
    simulation.start("fork", fork_of_the_newest)
    simulation.advance("fork", "put_if_absent", "/child/head")  # has looked at the parent a first time
    simulation.advance("fork", "head", "/packs/")
    simulation.step("fork")  # has looked at the parent again, to go on from it
    drop(FakeStore(server), "run")
    assert collect(FakeStore(server)).startswith("deleted")
    simulation.start("collector", collect)
    simulation.advance("collector", "put_if_match")  # collection 2 is there
    simulation.advance("fork")
    simulation.advance("collector")


TRACES = [
    (own_pack_is_condemned_before_the_commit, without_check),
    (own_pack_is_condemned_before_the_commit, without_own_objects),
    (own_pack_is_condemned_before_the_commit, without_listing_again),
    (head_is_rewritten_after_it_was_read, without_if_match),
    (head_is_rewritten_after_it_was_read, without_check),
    (head_is_rewritten_while_memory_is_trusted, without_if_match),
    (head_is_rewritten_while_memory_is_trusted, without_own_objects),
    (newest_list_condemns_what_a_head_still_names, without_the_first_list),
    (two_collections_while_a_fork_reads, without_listing_first),
]


@pytest.mark.parametrize(
    ("trace", "rule"), TRACES, ids=[f"{trace.__name__}-{rule.__name__}" for trace, rule in TRACES]
)
def test_nothing_is_lost_but_without_the_rule_it_would_be(trace, rule, monkeypatch):
    for broken in (False, True):
        simulation = Simulation()
        watch = Watch(simulation.server)
        if broken:
            rule(monkeypatch)
        trace(simulation)
        assert bool(watch.losses) == broken, watch.losses


def test_a_fork_lists_collections_before_it_reads_what_it_goes_on_from():
    server = FakeServer()
    begun(FakeStore(server))
    store = FakeStore(server)
    fork_of_the_newest(store)
    asked = [(request.verb, request.key.removeprefix(PREFIX)) for request in store.requests]
    after = asked[asked.index(("put_if_absent", "runs/child/head")) + 1 :]
    assert after[:2] == [("list", "collections/"), ("get", "runs/run/head")]


def test_a_condemned_pack_is_stored_again_and_kept_ones_are_not():
    server = FakeServer()
    store = FakeStore(server)
    writer = begun(store)  # a pack of w and m
    writer.save(state(w=0, m=0, v=0), {}, step=1)  # another one of v alone
    packs = {key for key in server.objects if "/packs/" in key}
    drop(FakeStore(server), "run")
    condemned = sorted(packs)
    server.objects[PREFIX + "collections/00000001"] = canonical.dumps(
        {"condemned": [key.removeprefix(PREFIX) for key in condemned[:1]]}
    )
    commit = writer.save(state(w=0, m=0, v=0), {}, step=2)
    manifest = writer.repository.shelf.read_manifest("run", commit)
    assert len(manifest.packs) == 2
    assert len(packs & {f"{PREFIX}packs/{pack}" for pack in manifest.packs}) == 1
    assert sorted(pack[:8] for pack in manifest.packs) == ["00000000", "00000001"]
    assert writer.resume().tensors == state(w=0, m=0, v=0)


def test_a_save_in_flight_survives_a_collection_that_heeds_generations_without_an_upload():
    simulation = Simulation()
    watch = Watch(simulation.server)
    begun(FakeStore(simulation.server))
    simulation.start("writer", new_state_of_a_resumed_trainer)
    simulation.advance("writer", "put_if_match", "/head")
    simulation.advance("writer", "get", "/head")
    assert collect(FakeStore(simulation.server), heed_generations=True) == "deleted 0"
    packs = [key for key in simulation.server.objects if "/packs/" in key]
    simulation.advance("writer")
    assert packs == [key for key in simulation.server.objects if "/packs/" in key]
    assert watch.losses == []


def test_names_carry_the_newest_collection_that_the_writer_knows():
    server = FakeServer()
    writer = begun(FakeStore(server))
    collect(FakeStore(server))
    one = writer.save(state(w=1), {}, step=1)  # meets the collection only when it commits
    two = writer.save(state(w=2), {}, step=2)
    three = RunWriter.take_over(writer.repository, "run", "a2").save(state(w=3), {}, step=3)
    assert [commit.manifest[:8] for commit in (one, two, three)] == ["00000000", "00000001", "00000001"]


@pytest.mark.parametrize("change", ["marks a commit", "adds a tag"])
def test_after_any_other_change_of_the_head_a_save_looks_at_collections_again(change):
    store = FakeStore()
    writer = begun(store)
    one = writer.save(state(w=1), {}, step=1)
    if change == "adds a tag":
        writer.save(state(w=1), {}, step=1, tags=["best"])
    else:
        writer.mark_damaged([one.id])
    store.requests.clear()
    writer.save(state(w=2), {}, step=2)
    assert (f"{PREFIX}collections/") in [it.key for it in store.requests if it.verb == "list"]


def test_memory_forgets_what_retention_has_dropped():
    server = FakeServer()
    store = FakeStore(server)
    writer = begun(store)
    writer.save(state(v=0), {}, step=1)
    drop(FakeStore(server), "run", keep=1)
    assert collect(FakeStore(server)).startswith("deleted")
    writer.save(state(v=1), {}, step=2)  # reads the head anew
    commit = writer.save(state(w=0, m=0), {}, step=3)
    assert commit.new_bytes > commit.raw_bytes / 2
    assert writer.repository.restore("run").tensors == state(w=0, m=0)


def test_an_unknown_object_among_the_collections_stops_a_save():
    store = FakeStore()
    writer = begun(store)
    store.server.objects[PREFIX + "collections/notes.txt"] = b""
    with pytest.raises(Damaged, match=r"notes\.txt"):
        RunWriter.take_over(writer.repository, "run", "a2")


def test_a_collection_that_is_missing_stops_a_save():
    store = FakeStore()
    writer = begun(store)
    store.server.objects[PREFIX + "collections/00000002"] = canonical.dumps({"condemned": []})
    drop(FakeStore(store.server), "run")
    with pytest.raises(Damaged, match="collection 1 is missing"):
        writer.save(state(w=1), {}, step=1)
