"""Settings: one file, overridden by the environment and the command line; what is wrong is named."""

import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.config.load import load, load_storage, validated
from pipelines.config.model import access_of
from pipelines.config.storage import default_storage
from pipelines.config.template import schema, template
from pipelines.config.text import ConfigError, read_yaml
from pipelines.demo.settings import demo_config

BASE = """\
run: flights
table:
  uri: s3://lake/flights
  entity: series
  time: time
  max_gap: 1h
window: {context: 168, horizon: 24}
forecast:
  target: delay
  past: [departures, temp]
predictions: {uri: s3://lake/predictions}
"""


def config(*assignments, text=BASE, environment=None):
    return validated(*read_yaml(text, "run.yaml"), assignments=assignments, environment=environment or {})


def complaint(*assignments, **options):
    with pytest.raises(ConfigError) as caught:
        config(*assignments, **options)
    return str(caught.value)


def test_sections_become_the_parts_own_dataclasses():
    found = config()
    assert found.window.context == 168
    assert found.forecast.past == ("departures", "temp")
    assert found.table.max_gap == timedelta(hours=1)
    assert found.training.steps == type(found.training)().steps


def test_null_policies_are_set_by_column():
    found = config("forecast.nulls.temp=forward_fill", "forecast.nulls.delay=drop_window")
    assert found.forecast.nulls == {"temp": "forward_fill", "delay": "drop_window"}
    assert [column.nulls for column in found.forecast.features] == ["drop_window", "mask", "forward_fill"]
    assert validated(*read_yaml(template(found), "t.yaml"), assignments=(), environment={}) == found
    assert type(found.job("1")).from_json(json.loads(json.dumps(found.job("1").to_json()))) == found.job("1")


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("forecast.nulls.temp=fill", "'fill'|\"fill\" is not one of 'mask'"),
        ("forecast.nulls.tmep=mask", "forecast.nulls must give columns of target and past"),
        ("forecast.nulls.delay=forward_fill", "forecast.nulls must not fill the target 'delay'"),
    ],
)
def test_a_wrong_null_policy_is_told(assignment, says):
    assert re.search(says, complaint(assignment))


def test_the_command_line_overrides_the_environment_which_overrides_the_file():
    text = BASE + "training: {steps: 1, seed: 1, ranks: 1}\n"
    environment = {
        "CAROUSEL_TRAINING__SEED": "2",
        "CAROUSEL_TRAINING__RANKS": "2",
        "CAROUSEL_ROOT": "elsewhere",
    }
    training = config("training.ranks=3", text=text, environment=environment).training
    assert (training.steps, training.seed, training.ranks) == (1, 2, 3)


def test_the_environment_is_read_where_no_file_is():
    storage = default_storage(environment={"CAROUSEL_STORAGE__BUCKET": "elsewhere"})
    assert (storage.bucket, storage.endpoint_url) == ("elsewhere", None)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [("1e-3", 0.001), ("5", 5.0), (".5", 0.5), ("+2.5e-1", 0.25)],
)
def test_numbers_are_read_as_people_write_them(assignment, value):
    assert config(f"training.learning_rate={assignment}").training.learning_rate == value


@pytest.mark.parametrize("word", ["no", "on", "1_000", "12:30", "2013-01-01", "0x1F"])
def test_words_that_older_yaml_turned_into_something_else_stay_words(word):
    assert config(f"table.entity={word}").table.entity == word


def test_a_snapshot_that_looks_like_a_number_is_an_id():
    assert config("table.snapshot=3").table.snapshot == "3"


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("training.stps=3", ["training.stps", "did you mean steps?", "[--set training.stps]"]),
        ("trainin.steps=3", ["trainin", "did you mean training?"]),
        ("training.steps=many", ["training.steps", '"many"', "whole number"]),
        ("training.steps=true", ["training.steps", "true", "whole number"]),
        ("training.steps='3'", ["training.steps", '"3"', "whole number"]),
        ("window.context=1.5", ["window.context", "1.5", "whole number"]),
        ("storage.repository=../mine", ["storage.repository", '"../mine"', "dotted part"]),
        ("storage.reports=a//b", ["storage.reports", '"a//b"', "empty"]),
        ("training.steps=0", ["training.steps must be >= 1, got 0", "[--set training.steps]"]),
        ("split.test=0.9", ["split.validation + split.test", "0.15 + 0.9"]),
        ("table.format=hudi", ["table.format", '"hudi"', "'delta' or 'iceberg'"]),
        ("table.max_gap=soon", ["table.max_gap", '"soon"', "1h"]),
        ("table.grid=hourly", ["table.grid", '"hourly"', "1h"]),
        ("forecast.past=temp", ["forecast.past", '"temp"', "a list"]),
        ("split=3", ["split: 3", "section"]),
        ("run=a b", ["run", '"a b"', "letters"]),
        ("storage.endpoint_url=localhost:9000", ["storage.endpoint_url", "https://"]),
        ("training.steps", ["--set training.steps", "training.steps=100"]),
        ("table.snapshot=!!int abc", ["--set table.snapshot", "not a YAML value", "abc"]),
        ("forecast.quantiles=&a [*a]", ["plain", "Circular"]),
        ("training.steps=[", ["--set training.steps", "not a YAML value"]),
    ],
)
def test_a_wrong_setting_is_told_with_its_key_its_value_and_what_is_allowed(assignment, parts):
    message = complaint(assignment)
    assert [part for part in parts if part not in message] == []
    assert "pydantic" not in message


def test_a_wrong_setting_is_told_with_its_line():
    assert "[run.yaml line 7]" in complaint(text=BASE.replace("context: 168", "context: 0"))


def test_a_wrong_variable_is_told_by_its_name():
    message = complaint(environment={"CAROUSEL_TRAINING__STEPS": "x"})
    assert "[environment variable CAROUSEL_TRAINING__STEPS]" in message


def test_all_that_is_wrong_is_told_at_once():
    message = complaint("training.steps=x", "window.context=y")
    assert message.startswith("2 settings are wrong:")


def test_a_missing_key_is_told_with_its_meaning():
    message = complaint(text=BASE.replace("context: 168, ", ""))
    assert "window.context: is missing; expected: Rows the model sees" in message


@pytest.mark.parametrize("key", ["storage.access_key", "storage.secret_key", "storage.aws_session_token"])
def test_keys_to_the_bucket_are_refused_and_not_repeated(key):
    message = complaint(f"{key}=hush")
    assert "AWS_ACCESS_KEY_ID" in message
    assert "hush" not in message


def test_an_address_may_name_the_file_of_a_key():
    uri = "postgresql://ann@example.org/lake?sslmode=verify-full&sslkey=/etc/key"
    catalog = config("storage.endpoint_url=aws", f"storage.catalog={{uri: '{uri}'}}").storage.catalog
    assert catalog is not None
    assert catalog.uri == uri


def test_an_unknown_key_elsewhere_is_not_taken_for_one_to_the_bucket():
    message = complaint("table.key=5")
    assert "table.key: no such key" in message
    assert "AWS" not in message


@pytest.mark.parametrize(
    "assignment",
    [
        "storage.endpoint_url=https://ann:hush@example.org",
        "storage.catalog={uri: 'postgresql://ann:hush@example.org/lake'}",
        "storage.catalog={uri: 'postgresql://example.org/lake?user=ann&password=hush'}",
        "storage.catalog={uri: 'https://example.org/lake?TOKEN=hush'}",
        "storage.catalog={uri: 'https://example.org/lake?a=b;client_secret=hush'}",
        "storage.endpoint_url=https://example.org/?X-Amz-Security-Token=hush",
        "storage.endpoint_url=ftp://ann:hush@example.org",
        "table.access={endpoint_url: 'ftp://ann:hush@example.org'}",
        "table.access.endpoint_url=http://ann:hush@example.org",
        "table.access={catalog: {uri: 'postgresql://ann:hush@example.org/lake'}}",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(assignment):
    message = complaint(assignment)
    assert "holds a password" in message
    assert "hush" not in message


@pytest.mark.parametrize("address", ["ftp://hush@host", "http://hush@host", "http://[hush@", "hush@host"])
def test_an_address_with_somebody_in_it_is_refused_and_not_repeated(address):
    message = complaint(f"storage.endpoint_url='{address}'")
    assert "storage.endpoint_url" in message
    assert "hush" not in message


def test_keys_to_the_data_are_refused_with_their_variables():
    message = complaint("table.access={secret_access_key: hush}")
    assert "CAROUSEL_DATA_SECRET_ACCESS_KEY" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: a\nrun: b\n", "run.yaml line 2: run is given twice (first on line 1)"),
        ("- run\n", "run.yaml: expected sections with keys"),
        ("run: [\n", "not YAML"),
        ("", "settings are wrong"),
    ],
)
def test_text_that_is_no_settings_file_is_refused(text, expected):
    assert expected in complaint(text=text)


def test_a_missing_file_is_told_with_what_makes_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file.*carousel config init"):
        load(tmp_path / "carousel.yaml")


def test_the_template_explains_every_key_and_reads_back_as_the_same_config(tmp_path):
    path = tmp_path / "carousel.yaml"
    path.write_text(template(config()))
    assert load(path, environment={}) == config()
    lines = path.read_text().splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if ":" in line and not line.lstrip().startswith("#") and "#" not in before
    ]
    assert unexplained == []


def test_a_config_survives_the_trip_through_json():
    found = config()
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_the_schema_describes_every_section():
    properties = schema()["properties"]
    assert {"storage", "table", "window", "split", "order", "forecast", "training"} <= set(properties)
    assert all("description" in node for node in properties.values())


def test_the_job_pins_the_snapshot():
    job = config().job("7")
    assert (job.run, job.table.snapshot, job.table.max_gap_s) == ("flights", "7", 3600.0)
    assert type(job).from_json(job.to_json()) == job
    assert job.table.grid is None


def test_the_grid_goes_into_the_job_and_jobs_from_before_have_none():
    job = config("table.grid=10min").job("7")
    assert job.table.grid == timedelta(minutes=10)
    frozen = json.loads(json.dumps(job.to_json()))
    assert type(job).from_json(frozen) == job
    del frozen["table"]["grid_s"]
    assert type(job).from_json(frozen).table.grid is None


def test_the_job_knows_where_its_table_is_read_and_no_keys():
    access = "{endpoint_url: 'https://s3', profile: lab, catalog: {uri: 'https://catalog', warehouse: w}}"
    found = config(f"table.access={access}")
    job = found.job("7")
    again = type(job).from_json(json.loads(json.dumps(job.to_json())))
    assert access_of(again.table) == found.table.access


def test_settings_of_the_same_table_say_where_it_is_read_now():
    frozen = config("table.access={endpoint_url: 'https://old'}").job("7").table
    moved = config("table.access={endpoint_url: 'https://new'}").table
    other = config("table.access={endpoint_url: 'https://new'}", "table.uri=s3://lake/other").table
    now = [access_of(frozen, settings) for settings in (None, config().table, other, moved)]
    assert [it and it.endpoint_url for it in now] == [
        "https://old",
        "https://old",
        "https://old",
        "https://new",
    ]


def test_a_job_from_before_tables_had_an_access_is_read():
    values = config().job("7").to_json()
    del values["table"]["access"]
    assert type(config().job("7")).from_json(values) == config().job("7")


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("storage.catalog.uri=https://catalog", "storage.catalog: the embedded server has its own"),
        ("storage.profile=lab", "storage.profile: the embedded server has its own"),
        ("predictions.uri=s3://lake/flights/", "predictions.uri is the table that is read"),
    ],
)
def test_settings_that_cannot_go_together_are_refused(assignment, expected):
    assert expected in complaint(assignment)


def test_a_catalog_beside_another_server_is_read():
    ours = ["storage.catalog.uri=https://catalog", "storage.endpoint_url=https://s3"]
    assert default_storage(ours, {}).catalog is not None


def test_the_stack_trains_what_the_demo_trains():
    stack, demo = (
        load(Path(__file__).parents[2] / "deploy" / "carousel.yaml", environment={}),
        demo_config("delta"),
    )
    assert (stack.run, stack.window, stack.split, stack.forecast, stack.training) == (
        demo.run,
        demo.window,
        demo.split,
        demo.forecast,
        demo.training,
    )
    assert stack.table == demo.table


def test_commands_that_read_only_where_the_bucket_is_take_a_file_of_that_alone(tmp_path):
    path = tmp_path / "lake.yaml"
    path.write_text("storage:\n  endpoint_url: http://127.0.0.1:9\n  bucket: somewhere\n")
    found = load_storage(path, assignments=["storage.repository=mine"], environment={})
    assert (found.bucket, found.repository) == ("somewhere", "mine")
    path.write_text("storage:\n  buckett: somewhere\n")
    with pytest.raises(ConfigError, match="buckett"):
        load_storage(path, environment={})
    path.write_text("storage:\n  bucket: somewhere\nwindow:\n  context: 1\n")
    with pytest.raises(ConfigError, match="run"):
        load_storage(path, environment={})
