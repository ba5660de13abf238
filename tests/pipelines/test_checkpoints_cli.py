"""`carousel checkpoints`: what is looked at, marked, checked, dropped and collected, as a person types it."""

import json
import secrets

import numpy as np
import pytest

from pipelines.surroundings.servers import folder_of
from storage.checkpoints import OuterKey, Repository, RunWriter, Tensor
from storage.local import LocalServer
from storage.objects import Bucket


def state(step: int) -> dict[str, Tensor]:
    drawn = np.random.default_rng(step).standard_normal((40, 40)).astype(np.float32)
    frozen = np.arange(1000, dtype=np.float32)
    return {"w": Tensor.from_numpy(drawn), "frozen": Tensor.from_numpy(frozen)}


@pytest.fixture
def repository(root) -> Repository:
    """A run `r` of six commits, of steps 0, 10, … 50."""
    server = LocalServer.find(folder_of(LocalServer, root))
    assert server is not None
    bucket = Bucket("lake", server.access)
    bucket.create()
    made = Repository.create(bucket, f"checkpoints-{secrets.token_hex(4)}")
    writer = RunWriter.create(made, "r", "a1")
    for step in range(0, 60, 10):
        writer.save(state(step), {}, step=step, metrics={"validation_loss": abs(step - 20)})
    return made


def steps(repository: Repository) -> list[int]:
    return [commit.step for commit in repository.commits("r")]


def test_a_tag_names_a_commit_until_it_is_taken_away(checkpoints):
    assert checkpoints("tag", "r/newest", "good").out.startswith("r/good is ")
    assert "step 50" in checkpoints("show", "r/good").out
    assert checkpoints("untag", "r", "good").code == 0
    assert checkpoints("show", "r/good").code == 2


def test_what_people_say_of_a_commit_and_where_its_run_comes_from_can_be_read(checkpoints, repository):
    RunWriter.create(repository, "lightning", "a1").save(state(0), {}, step=7, metrics={"val_loss": 0.125})
    assert "0.1250" in checkpoints("list", "lightning").out
    checkpoints("note", "r/newest", "old sensors")
    checkpoints("pin", "r/newest", "--for", "the paper")
    newest = repository.commits("r")[-1]
    repository.fork("r", newest.id, "branch", "b1")
    words = checkpoints("show", "r/newest").out
    assert ("note: old sensors\n" in words, "pinned for: the paper\n" in words) == (True, True)
    assert "old sensors" in checkpoints("list", "r").out
    told = json.loads(checkpoints("list", "r", "--json").out)["r"][-1]
    assert (told["note"], told["pins"]) == ("old sensors", ["the paper"])
    assert f"its run was forked from r/{newest.id}" in " ".join(
        checkpoints("show", "branch/newest").out.split()
    )
    parent = json.loads(checkpoints("show", "branch/newest", "--json").out)["run_parent"]
    assert parent == {"run": "r", "commit": newest.id}


def test_prune_drops_what_no_rule_keeps_and_says_so_before(checkpoints, repository):
    rules = ["r", "--keep-last", "1", "--keep-best", "1", "--metric", "validation_loss"]
    checkpoints("pin", "r/" + repository.commits("r")[1].id, "--for", "the model in production")
    told = checkpoints("prune", *rules, "--dry-run")
    assert "2 commits would go, 4 stay" in told.out
    assert steps(repository) == [0, 10, 20, 30, 40, 50]
    assert checkpoints("prune", *rules, "--yes").code == 0
    assert steps(repository) == [0, 10, 20, 50]


def test_prune_says_what_it_would_free_and_who_keeps_the_rest(checkpoints, repository):
    repository.fork("r", repository.commits("r")[2].id, "branch", "b1")
    told = json.loads(checkpoints("prune", "r", "--keep-last", "1", "--dry-run", "--json").out)
    assert told["freed_packs"] == 3  # of steps 10, 30 and 40
    branch, first, newest = (
        f"branch/{repository.commits('branch')[0].id}",
        *(f"r/{repository.commits('r')[at].id}" for at in (0, -1)),
    )
    needed_by = [it["needed_by"] for it in told["staying"]]
    assert sorted(needed_by, key=len) == [[branch], [branch, first, newest]]  # the second has `frozen`
    words = checkpoints("prune", "r", "--keep-last", "1", "--dry-run").out
    assert "3 packs among it" in words
    assert f"{branch[:15]} (step 20), {newest[:10]} (step 50) and 1 more of this run" in words


def test_damage_in_another_run_keeps_nobody_from_pruning(checkpoints, repository):
    repository.fork("r", "newest", "branch", "b1")
    repository.shelf.files.put("runs/branch/head", b"{}")
    assert "what that frees cannot be told" in checkpoints("prune", "r", "--keep-last", "1", "--dry-run").out
    assert checkpoints("prune", "r", "--keep-last", "1", "--yes").code == 0
    assert steps(repository) == [0, 50]


def test_stats_by_run_tells_what_each_run_needs_alone_and_what_they_share(checkpoints, repository):
    repository.fork("r", "newest", "branch", "b1")
    told = json.loads(checkpoints("stats", "--by-run", "--json").out)
    branch, run = told["by_run"]["branch"], told["by_run"]["r"]
    assert (branch["commits"], branch["own_bytes"]) == (1, 0)
    assert run["pack_bytes"] == told["pack_bytes"] == run["own_bytes"] + branch["pack_bytes"]
    assert told["shared"] == [{"runs": ["branch", "r"], "bytes": branch["pack_bytes"]}]
    assert told["unnamed_bytes"] == 0
    repository.drop("r", [repository.commits("r")[1].id])
    words = checkpoints("stats", "--by-run").out
    assert "in packs that branch, r share" in words
    assert "in packs that no commit needs" in words
    assert "by_run" not in json.loads(checkpoints("stats", "--json").out)


def test_prune_asks_and_does_nothing_where_nobody_answers(checkpoints, repository):
    refused = checkpoints("prune", "r", "--keep-last", "1")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert len(steps(repository)) == 6


def test_gc_frees_what_was_dropped_with_the_second_collection(checkpoints, repository):
    checkpoints("prune", "r", "--keep-last", "1", "--yes")
    before = repository.statistics().stored_bytes
    assert "the next collection may take them" in checkpoints("gc").out
    dry = json.loads(checkpoints("gc", "--dry-run", "--json").out)
    assert {it["why"] for it in dry["doomed"] if it["key"].startswith("packs/")} != set()
    assert repository.statistics().stored_bytes >= before
    done = json.loads(checkpoints("gc", "--json").out)
    assert done["deleted"]["objects"] == len(dry["doomed"]) > 0
    assert repository.statistics().stored_bytes < before
    assert repository.restore("r").tensors == state(50)


def test_repack_frees_what_dropped_commits_hold_and_can_follow_a_prune(checkpoints, repository):
    writer = RunWriter.create(repository, "long", "a1")
    base = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    for step in range(8):
        base[step * 400 : step * 400 + 400] += 1
        writer.save({"w": Tensor.from_numpy(base.copy())}, {}, step=step)
    assert "nothing to do" in checkpoints("repack", "long").out
    repository.drop("long", [it.id for it in repository.commits("long")[:-1]])
    dry = json.loads(checkpoints("repack", "long", "--dry-run", "--json").out)
    assert (len(dry["rewritten"]), dry["stored_bytes"]) == (1, 0)
    assert dry["emptied_packs"] > 1
    assert "rewrote 1 of 1 commits" in checkpoints("prune", "long", "--repack", "--yes").out
    assert np.array_equal(repository.restore("long").tensors["w"].to_numpy(), base)


def test_repack_of_all_runs_tells_of_each_and_which_others_it_rewrote(checkpoints, repository):
    writer = RunWriter.create(repository, "long", "a1")
    base = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    for step in range(8):
        base[step * 400 : step * 400 + 400] += 1
        writer.save({"w": Tensor.from_numpy(base.copy())}, {}, step=step)
    repository.fork("long", "newest", "branch", "b1")
    repository.drop("long", [it.id for it in repository.commits("long")[:-1]])
    dry = json.loads(checkpoints("repack", "--dry-run", "--json").out)
    assert {it["run"]: list(it["rewritten_of_others"]) for it in dry} == {
        "branch": ["long"],
        "long": ["branch"],
        "r": [],
    }
    done = checkpoints("repack").out
    assert "branch: rewrote 1 of 1 commits and 1 of run long" in done
    assert "long: nothing to do" in done


def test_gc_reads_each_manifest_once_ever_and_tells_of_a_file_it_cannot_use(checkpoints, repository, root):
    read = [json.loads(checkpoints("gc", "--json").out)["manifests_read"] for _ in range(2)]
    assert read == [6, 0]
    (root / "collections/manifests.db").write_bytes(b"no such thing" * 100)
    refused = checkpoints("gc")
    assert refused.code == 2
    assert "manifests.db" in refused.out + refused.err
    (root / "collections/manifests.db").unlink()
    assert json.loads(checkpoints("gc", "--json").out)["manifests_read"] == 6


def test_verify_finds_a_flipped_bit_only_when_it_reads_the_data(checkpoints, repository):
    assert "6 commits of 1 runs: intact" in checkpoints("verify").out
    (pack, size) = next(it for it in repository.shelf.files.list("packs/"))
    data = bytearray(repository.shelf.files.get(pack, size).data)
    data[size // 2] ^= 1
    repository.shelf.files.put(pack, bytes(data))
    assert checkpoints("verify").code == 0
    found = checkpoints("verify", "r", "--read-data")
    assert found.code == 1
    assert "step " in found.out
    report = json.loads(checkpoints("verify", "--read-data", "--json").out)
    assert report["found"] == len(report["findings"]) > 0


def test_diff_tells_what_changed_and_by_how_much(checkpoints, repository):
    first, second = (it.id for it in repository.commits("r")[:2])
    told = json.loads(checkpoints("diff", f"r/{first}", f"r/{second}", "--json").out)
    assert (told["first"]["id"], told["second"]["step"]) == (first, 10)
    changes = {it["tensor"]: it for it in told["changes"]}
    assert changes["frozen"]["change"] == "same"
    assert changes["w"]["change"] == "changed"
    old, new = (np.frombuffer(state(step)["w"].data, np.float32).astype(np.float64) for step in (0, 10))
    assert changes["w"]["largest"] == np.abs(new - old).max()
    assert "1 of 2 tensors are the same" in checkpoints("diff", f"r/{first}", f"r/{second}").out


def test_stats_add_up(checkpoints, repository):
    found = json.loads(checkpoints("stats", "--json").out)
    assert found["commits"] == 6
    assert found["raw_bytes"] == 6 * (40 * 40 * 4 + 4000)
    assert found["pack_bytes"] == sum(size for _, size in repository.shelf.files.list("packs/"))
    assert "6 commits of 1 runs" in checkpoints("stats").out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("show", "newest"), "RUN/COMMIT"),
        (("tag", "r/ffff", "x"), "no commit"),
        (("prune", "r", "--keep-best", "1"), "--metric"),
        (("prune", "r", "--metric", "validation_loss"), "--keep-best"),
        (("prune", "nobody", "--dry-run"), "no run"),
        (("prune", "r", "--keep-best", "1", "--metric", "val_loss"), "they have validation_loss"),
        (("unpin", "r/newest", "--for", "nobody"), "not pinned"),
        (("verify", "nobody"), "no run"),
    ],
)
def test_mistakes_are_told_in_one_message(checkpoints, arguments, word):
    answer = checkpoints(*arguments)
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err


def test_an_encrypted_repository_needs_its_key_and_takes_a_new_one(carousel, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = LocalServer.find(folder_of(LocalServer, root))
    assert server is not None
    prefix, old, new = f"checkpoints-{secrets.token_hex(4)}", "ab" * 32, "correct horse battery staple"
    made = Repository.create(Bucket("lake", server.access), prefix, key=OuterKey.of(old))
    RunWriter.create(made, "r", "a1").save(state(0), {}, step=0)

    def call(*arguments):
        return carousel("checkpoints", *arguments, "--set", f"storage.repository={prefix}")

    refused = call("show", "r/newest")
    assert (refused.code, "CAROUSEL_REPOSITORY_KEY" in refused.err) == (2, True)
    assert call("rekey").code == 2
    unopened = call("verify")
    assert (unopened.code, "1 commits of 1 runs: intact\nonly heads, packs" in unopened.out) == (0, True)
    whole = call("verify", "--read-data")
    assert (whole.code, "CAROUSEL_REPOSITORY_KEY" in whole.err) == (2, True)
    (pack, size) = next(it for it in made.shelf.files.list("packs/"))
    data = made.shelf.files.get(pack, size).data
    made.shelf.files.delete(pack)
    assert (call("verify").code, "is missing" in call("verify").out) == (1, True)
    made.shelf.files.put(pack, data)
    monkeypatch.setenv("CAROUSEL_REPOSITORY_KEY", old)
    assert call("show", "r/newest").code == 0
    monkeypatch.setenv("CAROUSEL_REPOSITORY_NEW_KEY", new)
    assert "1 keys were shut out" in call("rekey").out
    assert call("show", "r/newest").code == 2
    monkeypatch.setenv("CAROUSEL_REPOSITORY_KEY", new)
    shown = call("show", "r/newest")
    assert shown.code == 0
    assert old not in shown.out + shown.err + refused.err


def test_a_run_whose_head_cannot_be_read_does_not_hide_the_others(checkpoints, repository):
    repository.fork("r", "newest", "branch", "b1")
    files = repository.shelf.files
    files.store.put(f"{files.prefix}runs/r/head", b"no head")
    listed = checkpoints("list", "--json")
    assert (listed.code, json.loads(listed.out).keys()) == (0, {"branch"})
    assert "`carousel checkpoints repair r` rebuilds it" in listed.err
    asked = checkpoints("show", "r/newest")
    assert (asked.code, "`carousel checkpoints repair r` rebuilds it" in asked.err) == (2, True)


def test_a_commit_that_is_shown_in_place_of_a_damaged_one_is_told(checkpoints, repository):
    newest = max(repository.commits("r"), key=lambda commit: commit.step)
    repository.shelf.files.delete(f"runs/r/manifests/{newest.manifest}")
    assert f"passed over r/{newest.id}" in checkpoints("show", "r/newest").out.replace("\n", "")


def test_a_list_that_cannot_be_read_is_told_and_a_newer_one_begun(checkpoints, repository):
    files = repository.shelf.files
    files.store.put(f"{files.prefix}collections/00000001", b"no list")
    found = checkpoints("verify")
    assert (found.code, "collection 1 is not JSON" in found.out) == (1, True)
    told = checkpoints("gc", "--dry-run")
    assert (told.code, "begins a newer collection" in told.out.replace("\n", " ")) == (0, True)
    mended = checkpoints("repair")
    assert (mended.code, "collection 2, which condemns nothing, was begun" in mended.out) == (0, True)
    whole = checkpoints("verify")
    assert (whole.code, "no damage: collection 1" in whole.out) == (0, True)


def test_a_lost_head_is_told_and_repaired(checkpoints, repository):
    repository.shelf.files.delete("runs/r/head")
    for asked in (
        ("show", "r/newest"),
        ("list", "r"),
        ("restore", "r/newest", "--into", "out"),
        ("tag", "r/newest", "x"),
    ):
        refused = checkpoints(*asked)
        assert (refused.code, "is lost: `carousel checkpoints repair r` rebuilds it" in refused.err) == (
            2,
            True,
        )
    listed = checkpoints("list")
    assert (listed.code, "carousel checkpoints repair r" in listed.err) == (0, True)
    found = checkpoints("verify")
    assert (found.code, "carousel checkpoints repair r" in found.out) == (1, True)
    said = checkpoints("repair", "--dry-run")
    assert said.code == 0
    assert "6 commits would be named again" in said.out
    assert checkpoints("repair", "r").code == 2  # nobody is there to be asked
    done = json.loads(checkpoints("repair", "r", "--yes", "--json").out)
    assert [len(done["repaired"][0][name]) for name in ("named", "copied", "lost")] == [6, 0, 0]
    whole = checkpoints("verify", "--read-data")
    assert (whole.code, whole.out.startswith("6 commits of 1 runs,")) == (0, True)
    assert whole.out.endswith("read: intact\n")
    assert "no run has lost its head" in checkpoints("repair").out
    again = checkpoints("repair", "r")
    assert (again.code, "nothing to repair" in again.err) == (2, True)
