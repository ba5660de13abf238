"""The settings file that is written: read back as it was, accepted by the schema, reasons beside choices."""

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from pipelines.config.load import validated
from pipelines.config.model import PredictionsConfig, RunConfig, TableConfig
from pipelines.config.storage import AccessConfig, CatalogConfig, StorageConfig
from pipelines.config.template import schema, template
from pipelines.config.text import ConfigError, read_yaml
from pipelines.demo.settings import demo_config
from pipelines.derive.agreement import check_agreement
from pipelines.derive.derive import Derived
from pipelines.derive.explain import lines
from pipelines.derive.file import check_writable, settings_for, write
from pipelines.derive.places import Places
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request

from .tables import derived, panel


def run_of(choice, max_gap: timedelta | None = None) -> RunConfig:
    return RunConfig(
        run="r",
        storage=StorageConfig(endpoint_url="http://127.0.0.1:9000"),
        table=TableConfig(
            uri="s3://lake/waves",
            entity=choice.entity,
            time=choice.time,
            max_gap=max_gap or choice.max_gap,
            access=AccessConfig(profile="reader"),
        ),
        window=choice.window,
        split=choice.split,
        forecast=choice.forecast,
        training=choice.training,
        predictions=PredictionsConfig(uri="s3://lake/forecasts"),
    )


@pytest.fixture(scope="module")
def made() -> Derived:
    choice, reasons = derived(panel(2, 400))
    return Derived(config=run_of(choice), reasons=reasons)


@pytest.fixture
def path(made: Derived, tmp_path: Path) -> Path:
    write(tmp_path / "carousel.yaml", made)
    return tmp_path / "carousel.yaml"


def test_the_file_reads_back_as_it_was_written(made, path):
    assert validated(*read_yaml(path.read_text(), "x"), environment={}) == made.config


def test_each_choice_stands_beside_its_reason(made, path):
    flat = " ".join(path.read_text().replace("#", " ").split())
    missing = [
        key for key, why in made.reasons if " ".join(f"Why: {why}".replace("`", "").split()) not in flat
    ]
    assert missing == []
    assert "Table: sampled every 1 hour" in path.read_text()


def test_each_choice_is_shown_with_its_value_and_reason(made):
    shown = list(lines(made.config, made.reasons))
    assert any(line.split()[:2] == ["window.horizon", "24"] and "--horizon" in line for line in shown)
    assert all("\n" not in line for line in shown)


@pytest.mark.parametrize(
    "max_gap",
    [
        timedelta(hours=1),
        timedelta(seconds=663.25),
        timedelta(microseconds=50),
        timedelta(days=31),
        timedelta(minutes=10),
    ],
)
def test_the_schema_accepts_what_is_written(made, max_gap):
    choice, _ = derived(panel(2, 400))
    config = run_of(choice, max_gap)
    values, _ = read_yaml(template(config), "x")
    checker = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())
    assert list(checker.iter_errors(values)) == []
    assert validated(values, environment={}).table.max_gap == max_gap


def test_the_schema_accepts_the_example_with_its_nulls_and_refuses_a_typo():
    values, _ = read_yaml(template(demo_config("delta")), "x")
    checker = jsonschema.Draft202012Validator(schema())
    checker.check_schema(schema())
    assert list(checker.iter_errors(values)) == []
    values["table"]["max_gap"] = "soon"
    values["trainning"] = {}
    assert len(list(checker.iter_errors(values))) == 2


def test_a_column_cannot_break_out_of_its_comment(made, tmp_path):
    reasons = Reasons({"forecast.target": "named x\nrun: evil"}, ["a column 'y\nrun: evil2'"])
    write(tmp_path / "c.yaml", Derived(config=made.config, reasons=reasons))
    assert validated(*read_yaml((tmp_path / "c.yaml").read_text(), "x"), environment={}) == made.config


def test_a_file_of_another_table_is_not_used(path):
    with pytest.raises(ConfigError, match=r"another table, s3://lake/waves.*--force"):
        settings_for(path, "s3://lake/other")
    known = settings_for(path, "s3://lake/waves/")
    assert known is not None
    assert known.run == "r"


def test_no_file_is_no_fault(tmp_path):
    assert settings_for(tmp_path / "absent.yaml", "s3://lake/waves") is None


def test_wishes_that_a_file_does_not_fulfil_are_named(made, path):
    here = Places(table="s3://lake/waves")
    check_agreement(path, made.config, Request(time="when", entity="id", horizon=24, timezone="UTC"), here)
    with pytest.raises(CannotDerive, match=r"--entity \(there: id\), --horizon \(there: 24\).*--force"):
        check_agreement(path, made.config, Request(time="when", entity="", horizon=3), here)
    told = rf"--timezone \(there: UTC\), --minutes \(there: {made.config.training.steps:,} steps\)"
    with pytest.raises(CannotDerive, match=told):
        check_agreement(path, made.config, Request(minutes=9, timezone="Europe/Paris"), here)


LOCAL_ONE = StorageConfig()
SERVER = StorageConfig(
    endpoint_url="https://s3.x", profile="mine", bucket="data", repository="carousel/checkpoints"
)
READER = AccessConfig(endpoint_url="https://tables.x/", catalog=CatalogConfig(uri="https://c", warehouse="w"))


@pytest.mark.parametrize(
    ("storage", "access", "options", "unlike"),
    [
        (LOCAL_ONE, None, {"repository": "local"}, []),
        (LOCAL_ONE, None, {"repository": "s3://lake/checkpoints"}, []),
        (LOCAL_ONE, None, {"endpoint_url": "https://s3.x"}, ["--endpoint-url (there: the embedded server)"]),
        (LOCAL_ONE, None, {"repository": "s3://other/here"}, ["--repository (there: s3://lake/checkpoints"]),
        (SERVER, None, {"endpoint_url": "https://s3.x/", "profile": "mine"}, []),
        (SERVER, None, {"repository": "s3://data"}, []),
        (
            SERVER,
            None,
            {"profile": "you", "catalog": "https://c"},
            ["--profile (there: mine)", "--catalog (there: none)"],
        ),
        (SERVER, None, {"repository": "local"}, ["--repository (there: s3://data/carousel/checkpoints"]),
        (LOCAL_ONE, READER, {"endpoint_url": "https://tables.x", "repository": "local"}, []),
        (LOCAL_ONE, READER, {"catalog": "https://c", "warehouse": "v"}, ["--warehouse (there: w)"]),
        (SERVER, AccessConfig(profile="reader"), {"endpoint_url": "aws", "repository_profile": "mine"}, []),
        (
            SERVER,
            READER,
            {"repository_endpoint_url": "https://tables.x", "repository_profile": "you"},
            ["--repository-endpoint-url (there: https://s3.x)", "--repository-profile (there: mine)"],
        ),
    ],
)
def test_places_that_a_file_does_not_name_are_told(made, path, storage, access, options, unlike):
    table = made.config.table.model_copy(update={"access": access})
    known = made.config.model_copy(update={"storage": storage, "table": table})
    try:
        check_agreement(path, known, Request(), Places(table="s3://lake/waves", **options))
        said = ""
    except CannotDerive as refusal:
        said = str(refusal)
    assert [words for words in unlike if words not in said] == [], said
    assert said.count("(there:") == len(unlike), said


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path):
    with pytest.raises(ConfigError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        check_writable(tmp_path / "no" / "carousel.yaml")
