"""The source table lies on somebody else's server, with keys that may only read; all else is written at home.

The tables there were written by other libraries, some of them without a column that tells series apart.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import deltalake
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pipelines.config.load import load
from pipelines.surroundings.connect import connect
from storage import object_access
from storage.checkpoints.format.names import pack_key
from storage.objects import AccessDenied, Bucket
from storage.tables import open_table

from ...archive import READER, Archive, archive
from ..conftest import CONFIG, SERIES, waves

FOREIGN = "s3://archive/waves"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Their server, with a Delta and an Iceberg table, and one of each without entities."""
    folder = tmp_path_factory.mktemp("archive")
    with archive(folder) as found:
        one = waves(series=1).drop_columns(["series"])
        owner = found.owner
        options = {
            "AWS_ENDPOINT_URL": str(owner.endpoint_url),
            "AWS_ACCESS_KEY_ID": str(owner.access_key),
            "AWS_SECRET_ACCESS_KEY": str(owner.secret_key),
            "AWS_ALLOW_HTTP": "true",
        }
        deltalake.write_deltalake(FOREIGN, waves(), storage_options=options)
        deltalake.write_deltalake(f"{FOREIGN}-alone", one, storage_options=options)
        catalog = SqlCatalog(
            "theirs",
            **{
                "uri": f"sqlite:///{folder}/catalog.db",
                "warehouse": "s3://archive/warehouse",
                "s3.endpoint": str(owner.endpoint_url),
                "s3.access-key-id": str(owner.access_key),
                "s3.secret-access-key": str(owner.secret_key),
                "s3.region": "us-east-1",
            },
        )
        catalog.create_namespace("their")
        for name, rows in (("waves", waves()), ("alone", one)):
            catalog.create_table(f"their.{name}", rows.schema, location=f"s3://archive/ice/{name}").append(
                rows
            )
        found.metadata = catalog.load_table("their.waves").metadata_location
        catalog.close()
        yield found


@pytest.fixture
def reader(theirs: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """The reader's keys, in the variables for the data."""
    before = theirs.listing()
    monkeypatch.setenv("CAROUSEL_DATA_ACCESS_KEY_ID", READER[0])
    monkeypatch.setenv("CAROUSEL_DATA_SECRET_ACCESS_KEY", READER[1])
    object_access.renew()
    yield theirs
    assert theirs.listing() == before, "something was written to the server of the data"
    with pytest.raises(AccessDenied):  # it could not have been
        Bucket("archive", theirs.reader).put("new", b"x")
    object_access.renew()


@pytest.fixture
def config(theirs: Archive, tmp_path: Path) -> Path:
    """A run that reads their Delta table."""
    path = tmp_path / "carousel.yaml"
    access = f"table:\n  access: {{endpoint_url: '{theirs.reader.endpoint_url}'}}"
    text = (
        CONFIG.replace("table:", access).replace("run: waves", "run: far").replace("s3://lake/waves", FOREIGN)
    )
    path.write_text(text.replace("s3://lake/forecasts", "s3://lake/far-forecasts"))
    return path


def lose_the_last_commit(connection, run: str) -> None:
    repository = connection.existing_repository()
    before, newest = (
        set(repository.shelf.read_manifest(run, commit).packs) for commit in repository.commits(run)[-2:]
    )
    for pack in newest - before:
        connection.bucket.delete(f"{connection.prefix}/{pack_key(pack)}")


def test_two_ranks_that_lost_their_last_packs_train_on_and_are_evaluated_and_scored(
    carousel, config, reader, root, trains_here
):
    trained = carousel("train", "-c", config)
    assert trained.code == 0, trained.err
    connection = connect(load(config).storage, root)
    lose_the_last_commit(connection, "far")
    done = carousel("resume", "far", "--ranks", "2")
    assert done.code == 0, done.err
    assert "passed over far/" in done.err
    assert "finished at step 6 (budget)" in done.err
    again = carousel("resume", "far")
    assert (again.code, "nothing is left to train" in again.out) == (0, True)
    for command in (["evaluate", "far"], ["score", "-c", config]):
        done = carousel(*command)
        assert done.code == 0, done.err
    forecasts = open_table(connection.lake, "s3://lake/far-forecasts").snapshot()
    assert sum(file.rows for file in forecasts.files) == SERIES * 4
    about = [path.read_text() for path in root.glob("*/far*") if path.is_file()]
    restored = connection.existing_repository().restore("far", names=())
    assert restored.meta["job"]["table"]["access"]["endpoint_url"] == reader.reader.endpoint_url
    assert about
    assert [key for key in READER if key in json.dumps([about, restored.meta])] == []


@pytest.mark.parametrize(
    ("uri", "kind", "entity"),
    [
        ("s3://archive/ice/waves", "iceberg", "series"),
        ("s3://archive/ice/alone", "iceberg", "null"),
        ("metadata file", "iceberg", "series"),
        (f"{FOREIGN}-alone", "delta", "null"),
    ],
)
def test_a_table_that_others_wrote_is_planned_as_our_own(reader, config, root, uri, kind, entity):
    from lstm.training.planning import plan_for
    from lstm.training.start import pinned_snapshot
    from pipelines.flows.train import pinned_job

    place = reader.metadata if uri == "metadata file" else uri
    ours = [f"table.uri={place}", f"table.format={kind}", f"table.entity={entity}"]
    checked = load(config, assignments=ours)
    connection = connect(checked.storage, root, checked.table.access)
    job = pinned_job(checked, connection)
    plan = plan_for(job, pinned_snapshot(job, connection.data), connection.bucket)
    assert plan.rows == 200 * len(plan.series)
    assert len(plan.series) == (1 if entity == "null" else SERIES)


def test_an_iceberg_table_without_entities_is_trained_and_scored_by_a_profile(
    carousel, theirs, config, tmp_path, monkeypatch, trains_here
):
    before = theirs.listing()
    profiles = tmp_path / "credentials"
    profiles.write_text(f"[guest]\naws_access_key_id = {READER[0]}\naws_secret_access_key = {READER[1]}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    object_access.renew()
    ours = [
        "-c",
        config,
        "-s",
        "run=alone",
        "-s",
        "table.uri=s3://archive/ice/alone",
        "-s",
        "table.entity=null",
    ]
    ours += ["-s", "table.format=iceberg", "-s", "table.access.profile=guest", "-s", "training.ranks=1"]
    for command in ("train", "score"):
        done = carousel(command, *ours)
        assert done.code == 0, done.err
    assert theirs.listing() == before


@pytest.mark.parametrize(
    ("variables", "options", "words"),
    [
        ({}, [], ["no credentials", "127.0.0.1"]),
        ({"ACCESS_KEY_ID": "a"}, [], ["CAROUSEL_DATA_ACCESS_KEY_ID is set", "SECRET_ACCESS_KEY is not"]),
        ({"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "a-secret"}, [], ["does not know this access key"]),
        ({}, ["-s", "table.access.profile=nobody"], ["profile (nobody) could not be found"]),
        (
            {"ACCESS_KEY_ID": READER[0], "SECRET_ACCESS_KEY": READER[1], "SESSION_TOKEN": "a-secret"},
            [],
            ["403"],
        ),
    ],
)
def test_keys_that_do_not_serve_are_told_in_one_message(
    carousel, theirs, config, monkeypatch, variables, options, words
):
    for name, value in variables.items():
        monkeypatch.setenv(f"CAROUSEL_DATA_{name}", value)
    object_access.renew()
    done = carousel("train", "-c", config, "-s", "run=denied", *options)
    said = re.sub(r"\s+", " ", done.err)
    assert done.code == 2
    assert [word for word in words if word not in said] == []
    assert "a-secret" not in said
    assert READER[1] not in said


def test_a_table_that_is_only_read_is_not_ingested_to(carousel, reader, config, tmp_path):
    from pyarrow import parquet

    parquet.write_table(waves(), tmp_path / "more.parquet")
    done = carousel("ingest", tmp_path / "more.parquet", "-c", config)
    assert (done.code, "table.access" in done.err) == (2, True)
