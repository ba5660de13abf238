"""`carousel checkpoints copy` as a person types it: other places, other keys, and what is refused."""

import json
import secrets

import pytest

from pipelines.surroundings.servers import folder_of
from storage.checkpoints import OuterKey, Repository, RunWriter
from storage.local import LocalServer
from storage.objects import Bucket

from .test_checkpoints_cli import state

OLD, NEW = "ab" * 32, "correct horse battery staple"


@pytest.fixture
def lake(root) -> Bucket:
    server = LocalServer.find(folder_of(LocalServer, root))
    assert server is not None
    bucket = Bucket("lake", server.access)
    bucket.create()
    return bucket


@pytest.fixture
def prefixes() -> tuple[str, str]:
    """Where checkpoints are, and where a copy goes."""
    return f"from-{secrets.token_hex(4)}", f"to-{secrets.token_hex(4)}"


@pytest.fixture
def copy(carousel, prefixes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no settings file

    def call(*arguments):
        here = f"storage.repository={prefixes[0]}"
        return carousel("checkpoints", "copy", *arguments, "--set", here)

    return call


def trained(lake: Bucket, prefix: str, key: OuterKey | None = None) -> Repository:
    made = Repository.create(lake, prefix, key=key)
    writer = RunWriter.create(made, "r", "a1")
    for step in range(3):
        writer.save(state(step), {}, step=step)
    return made


def test_a_run_goes_to_another_prefix_once_and_then_only_what_is_new(copy, lake, prefixes):
    source = trained(lake, prefixes[0])
    to = ("--to", f"s3://lake/{prefixes[1]}")
    assert "copied 1 commits to run r of s3://lake/to-" in copy("r/newest", *to).out
    assert "copied 2 commits" in copy("r", *to).out
    again = json.loads(copy("r", *to, "--json").out)
    assert (again["copied"], again["there"], again["left_out"]) == ([], 3, [])
    target = Repository.open(lake, prefixes[1])
    assert {it.id for it in target.commits("r")} == {it.id for it in source.commits("r")}
    assert target.restore("r").tensors == state(2)


def test_a_copy_to_another_server_takes_its_settings_and_keys_of_its_own(
    copy, lake, prefixes, minio, tmp_path, monkeypatch
):
    trained(lake, prefixes[0])
    bucket = Bucket(f"test-{secrets.token_hex(6)}", minio)
    bucket.create()
    settings = tmp_path / "archive.yaml"
    settings.write_text(
        f"storage: {{endpoint_url: '{minio.endpoint_url}', bucket: {bucket.name}, repository: kept}}\n"
    )
    refused = copy("r", "--to", settings)
    assert (refused.code, "Traceback" in refused.err) == (2, False)
    monkeypatch.setenv("CAROUSEL_TARGET_ACCESS_KEY_ID", minio.access_key)
    assert "CAROUSEL_TARGET_SECRET_ACCESS_KEY is not" in copy("r", "--to", settings).err
    monkeypatch.setenv("CAROUSEL_TARGET_SECRET_ACCESS_KEY", minio.secret_key)
    done = copy("r", "--to", settings, "--as", "other")
    assert f"copied 3 commits to run other of s3://{bucket.name}/kept" in done.out
    assert minio.secret_key not in done.out + done.err
    assert Repository.open(bucket, "kept").restore("other").tensors == state(2)
    assert "embedded server has its own keys" in copy("r", "--to", "s3://lake/x").err


def test_what_is_encrypted_stays_so_unless_somebody_says_otherwise(copy, lake, prefixes, monkeypatch):
    trained(lake, prefixes[0], OuterKey.of(OLD))
    monkeypatch.setenv("CAROUSEL_REPOSITORY_KEY", OLD)
    refused = copy("r", "--to", f"s3://lake/{prefixes[1]}")
    assert (refused.code, "CAROUSEL_TARGET_REPOSITORY_KEY" in refused.err) == (2, True)
    assert next(lake.list(prefixes[1]), None) is None
    clear = f"{prefixes[1]}-clear"
    assert copy("r", "--to", f"s3://lake/{clear}", "--in-the-clear").code == 0
    assert Repository.open(lake, clear).restore("r").tensors == state(2)
    monkeypatch.setenv("CAROUSEL_TARGET_REPOSITORY_KEY", NEW)
    assert copy("r", "--to", f"s3://lake/{prefixes[1]}").code == 0
    target = Repository.open(lake, prefixes[1], key=OuterKey.of(NEW))
    assert target.restore("r").tensors == state(2)
    monkeypatch.delenv("CAROUSEL_TARGET_REPOSITORY_KEY")
    refused = copy("r", "--to", f"s3://lake/{prefixes[1]}", "--in-the-clear")
    assert (refused.code, "CAROUSEL_TARGET_REPOSITORY_KEY" in refused.err) == (2, True)


def test_a_commit_that_cannot_be_read_is_said_and_is_an_error(copy, lake, prefixes):
    source = trained(lake, prefixes[0])
    lost = source.commits("r")[1]
    lake.delete(f"{prefixes[0]}/runs/r/manifests/{lost.manifest}")
    told = copy("r", "--to", f"s3://lake/{prefixes[1]}")
    assert told.code == 1
    assert f"left out: r/{lost.id}" in told.out
    assert "copied 2 commits" in told.out


@pytest.mark.parametrize(
    ("what", "to", "word"),
    [
        ("r", "s3://lake", "names no prefix"),
        ("r", "s3://l/x", "storage.bucket"),
        ("r", "ftp://lake/x", "s3://bucket/key"),
        ("r", "nowhere.yaml", "no such file"),
        ("r", ".", "cannot be read"),
        ("r", "table.yaml", "no section `storage`"),
        ("r", "secret.yaml", "secret_key"),
        ("r/ffff", "s3://lake/{to}", "no commit"),
        ("R", "s3://lake/{to}", "there are r"),
        ("r/", "s3://lake/{to}", "RUN/COMMIT"),
        ("r", "s3://lake/{here}", "is the one that"),
    ],
)
def test_mistakes_are_told_in_one_message_and_make_nothing(copy, lake, prefixes, tmp_path, what, to, word):
    trained(lake, prefixes[0])
    (tmp_path / "table.yaml").write_text("table: {uri: s3://lake/x}\n")
    (tmp_path / "secret.yaml").write_text("storage: {secret_key: abc}\n")
    answer = copy(what, "--to", to.format(here=prefixes[0], to=prefixes[1]))
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err
    assert not any("/runs/" in it.key for it in lake.list(prefixes[1]))
