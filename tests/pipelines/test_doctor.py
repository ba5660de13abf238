"""`carousel doctor`: sees what is wrong, says what to do, in bounded time and never with a traceback."""

import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from pipelines.doctor import Case, Finding, Outcome, bucket, disk, examine, memory, packages, ports, python
from pipelines.doctor import prefect as prefect_check
from pipelines.doctor import servers as server_check
from pipelines.doctor.endpoint import visit
from pipelines.doctor.finding import ok
from pipelines.surroundings import servers
from pipelines.surroundings.servers import folder_of
from storage import host_memory
from storage.checkpoints.codecs import compiled
from storage.checkpoints.codecs.compiled import Compiled
from storage.checkpoints.codecs.plain import Plain
from storage.local import LocalServer
from storage.objects import Access, Bucket

from ..conftest import free_ports
from .conftest import CONFIG

GIB = 2**30


def case(root: Path, config: Path | None = None) -> Case:
    return Case(root, config or root / "absent.yaml", (), optional=config is None)


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [it for it in findings if it.name == name]
    return found


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that reach the embedded server as if it were another's."""
    known = json.loads((root / "s3" / "settings.json").read_text())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", known["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", known["secret_key"])
    access = Access(
        endpoint_url=f"http://127.0.0.1:{known['ports']['s3.port']}",
        access_key=known["access_key"],
        secret_key=known["secret_key"],
    )
    Bucket("lake", access).create()
    config = tmp_path / "waves.yaml"
    config.write_text(f"{CONFIG}storage: {{endpoint_url: '{access.endpoint_url}'}}\n")
    return config


def test_a_machine_in_order_has_no_problem(carousel, root):
    told = carousel("doctor", "--json")
    found = json.loads(told.out)
    problems = [it for group in found["found"].values() for it in group if it["outcome"] == "problem"]
    assert (problems, found["problems"], told.code) == ([], 0, 0)
    for group in ("Python", "Packages", "Bucket", "Servers", "Ports", "Prefect", "Disk", "Memory"):
        assert found["found"][group]


def test_a_bucket_elsewhere_is_tried_out_and_left_as_it_was(elsewhere, root):
    connection = list(bucket.check(case(root, elsewhere)))
    for name in ("endpoint", "clock", "credentials", "read", "write", "bucket settings"):
        assert named(connection, name).outcome is Outcome.ok, named(connection, name)
    assert named(connection, "credentials").seen.startswith("from AWS_ACCESS_KEY_ID in the environment")
    known = json.loads((root / "s3" / "settings.json").read_text())
    assert not [it for it in connection if known["secret_key"] in repr(it) or known["access_key"] in repr(it)]
    endpoint = f"http://127.0.0.1:{known['ports']['s3.port']}"
    lake = Bucket(
        "lake",
        Access(endpoint_url=endpoint, access_key=known["access_key"], secret_key=known["secret_key"]),
    )
    assert [it.key for it in lake.list() if "probe" in it.key] == []


def test_a_table_that_is_not_there_is_a_problem_with_its_name(elsewhere, root):
    elsewhere.write_text(elsewhere.read_text().replace("s3://lake/waves", "s3://lake/never"))
    found = named(list(bucket.check(case(root, elsewhere))), "table")
    assert (found.outcome, "s3://lake/never" in found.seen) == (Outcome.problem, True)
    assert found.remedy


@pytest.mark.parametrize(
    ("settings", "name", "says"),
    [
        ("storage: {endpoint_url: 'http://127.0.0.1:%d'}\n", "endpoint", "Connection refused"),
        ("storage: {endpont_url: x%d}\n", "settings", "endpoint_url"),
    ],
)
def test_what_is_down_or_wrong_is_a_problem_and_never_a_traceback(
    settings, name, says, carousel, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    config = tmp_path / "waves.yaml"
    config.write_text(CONFIG + settings % free_ports(1)[0])
    told = carousel("doctor", "-c", config)
    assert told.code == 1, told.out
    assert "problem" in told.out
    assert name in told.out
    assert says in told.out
    assert "->" in told.out
    assert "Traceback" not in told.out + told.err
    assert "hush-hush" not in told.out + told.err


def test_missing_keys_are_a_problem(tmp_path, root):
    config = tmp_path / "waves.yaml"
    config.write_text(f"{CONFIG}storage: {{endpoint_url: 'http://127.0.0.1:{free_ports(1)[0]}'}}\n")
    found = named(list(bucket.check(case(root, config))), "credentials")
    assert found.outcome is Outcome.problem
    assert "AWS_ACCESS_KEY_ID" in (found.remedy or "")


class _Answer(http.server.BaseHTTPRequestHandler):
    """Refuses everybody, as S3 does without keys, by a clock of its own."""

    skew = timedelta()

    def do_GET(self) -> None:
        self.send_response_only(403)
        self.send_header("Date", format_datetime(datetime.now(UTC) + self.skew, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def skewed() -> Iterator[Callable[[timedelta], str]]:
    """A server whose clock is off."""
    started = []

    def start(skew: timedelta) -> str:
        handler = type("Handler", (_Answer,), {"skew": skew})
        server = http.server.HTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("skew", "outcome", "says"),
    [
        (timedelta(), Outcome.ok, "as the server's"),
        (timedelta(minutes=2), Outcome.warning, "s behind the server's"),
        (timedelta(minutes=20), Outcome.problem, "s behind the server's"),
        (timedelta(minutes=-20), Outcome.problem, "s ahead of the server's"),
    ],
)
def test_a_clock_that_is_off_is_told_by_how_much(skew, outcome, says, skewed):
    found = named(list(visit(Access(endpoint_url=skewed(skew)))), "clock")
    assert (found.outcome, says in found.seen) == (outcome, True), found
    assert abs(found.figures["skew_s"] - skew.total_seconds()) < 30


def test_a_server_that_never_answers_does_not_hold_it_up(monkeypatch):
    monkeypatch.setattr("pipelines.doctor.endpoint.WAIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        (found,) = visit(Access(endpoint_url=f"http://127.0.0.1:{deaf.getsockname()[1]}"))
    assert found.outcome is Outcome.problem
    assert "no answer within 0.2 s" in found.seen


def test_a_check_that_hangs_or_fails_leaves_the_others_answers(tmp_path, monkeypatch):
    over, left = threading.Event(), threading.Event()

    def hangs(_: Case) -> Iterator[Finding]:
        yield ok("first", "seen")
        over.wait(300)
        left.set()

    def fails(_: Case) -> Iterator[Finding]:
        yield ok("first", "seen")
        raise RuntimeError("oh")

    groups = {"Hangs": hangs, "Fails": fails, "Python": python.check}
    monkeypatch.setattr("pipelines.doctor.examination.GROUPS", groups)
    found = examine(case(tmp_path), limit_s=0.5)
    assert not left.is_set()  # it was not waited for
    over.set()
    assert [it.outcome for it in found["Hangs"]] == [Outcome.ok, Outcome.warning]
    assert "no answer within 0.5 s" in found["Hangs"][1].seen
    assert [it.outcome for it in found["Fails"]] == [Outcome.ok, Outcome.problem]
    assert "RuntimeError: oh" in found["Fails"][1].seen
    assert len(found["Python"]) == 3


def test_another_python_and_too_few_files_are_told():
    assert python._python("3.10.1", ">=3.11,<3.12").outcome is Outcome.problem
    assert python._python("3.11.9", ">=3.11,<3.12").outcome is Outcome.ok
    few = python._files(256, 4096)
    assert (few.outcome, few.remedy) == (
        Outcome.warning,
        "ulimit -n 1024 in this shell, before Carousel",
    )


def test_packages_that_are_missing_or_too_old_are_named(tmp_path, monkeypatch):
    wanted = ["numpy>=99", "no-such-package>=1", "rich>=13", "absent; extra == 'dev'"]
    monkeypatch.setattr(packages, "requirements", lambda: wanted)
    found = {it.name: it for it in packages.check(case(tmp_path))}
    assert found.keys() == {"numpy", "no-such-package", "torch", "checkpoint codecs", "window batches"}
    assert "but >=99 is needed" in found["numpy"].seen
    assert found["no-such-package"].outcome is Outcome.problem
    assert "pip install" in (found["no-such-package"].remedy or "")


@pytest.mark.parametrize(
    ("loops", "outcome"), [(Plain(), Outcome.warning), (Compiled.installed(), Outcome.ok)]
)
def test_codecs_that_are_not_compiled_are_told(tmp_path, monkeypatch, loops, outcome):
    if loops is None:
        pytest.skip("no C compiler was there at installation")
    monkeypatch.setattr(compiled, "LOOPS", loops)
    found = named(list(packages.check(case(tmp_path))), "checkpoint codecs")
    assert found.outcome == outcome
    assert ("C compiler" in (found.remedy or "")) == (outcome == Outcome.warning)


@pytest.mark.parametrize(("loops", "outcome"), [(None, Outcome.warning), (object(), Outcome.ok)])
def test_batches_of_windows_that_are_not_compiled_are_told(tmp_path, monkeypatch, loops, outcome):
    monkeypatch.setattr("lstm.windows.arrays.compiled.LOOPS", loops)
    found = named(list(packages.check(case(tmp_path))), "window batches")
    assert found.outcome == outcome
    assert ("C compiler" in (found.remedy or "")) == (outcome == Outcome.warning)


def test_a_torch_that_cannot_be_loaded_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "version.py").write_text("__version__ = '2.0'\ncuda = None\n")
    (tmp_path / "lib" / "libtorch_python.so").write_bytes(b"cut short")
    monkeypatch.setattr(packages, "_folder", lambda: tmp_path)
    found = named(list(packages.check(case(tmp_path))), "torch")
    assert (found.outcome, "cannot be imported" in found.seen) == (Outcome.problem, True)
    assert "install torch" in (found.remedy or "")


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (host_memory.Memory(16 * GIB, 12 * GIB, limited=False), Outcome.ok),
        (host_memory.Memory(16 * GIB, 1 * GIB, limited=False), Outcome.warning),
        (host_memory.Memory(1 * GIB, 1 * GIB, limited=True), Outcome.problem),
    ],
)
def test_memory_is_held_against_what_ranks_may_take(found, outcome):
    judged = memory.judged(found, ranks=2, budget=512 * 2**20)
    assert judged.outcome is outcome
    assert ("this container" in judged.seen) == found.limited


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_and_what_it_caches_does_not(version, tmp_path):
    own = tmp_path / "own"
    group = tmp_path / "groups" / ("memory/pod" if version == 1 else "pod")
    group.mkdir(parents=True)
    names = {
        1: ("4:memory:/pod\n", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("0::/pod\n", "memory.max", "memory.current", "inactive_file"),
    }
    line, limit, used, cache = names[version]
    own.write_text(line)
    (group / limit).write_text(str(1 * GIB))
    (group / used).write_text(str(3 * GIB // 4))
    (group / "memory.stat").write_text(f"anon 5\n{cache} {GIB // 2}\n")
    found = host_memory.memory(tmp_path / "groups", own)
    assert found == host_memory.Memory(1 * GIB, 3 * GIB // 4, limited=True)


def test_a_port_that_a_stranger_took_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        folder = folder_of(LocalServer, tmp_path)
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps({"ports": {"s3.port": port}}))
        found = named(list(ports.check(case(tmp_path))), "S3 server")
    assert (found.outcome, str(port) in found.seen) == (Outcome.warning, True)


def test_a_server_that_was_killed_is_told(tmp_path):
    folder = folder_of(LocalServer, tmp_path)
    folder.mkdir()
    (folder / servers.RECORD).write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "started": "another boot:1",
                "what": "x",
                "since": "2026-01-01T00:00:00+00:00",
                "details": {},
            }
        )
    )
    found = named(list(server_check.check(case(tmp_path))), "S3 server")
    assert found.outcome is Outcome.warning
    assert "the next command starts it again" in (found.remedy or "")


def test_a_prefect_api_that_does_not_answer_is_a_problem(tmp_path, monkeypatch):
    (port,) = free_ports(1)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    (found,) = prefect_check.check(case(tmp_path))
    assert (found.outcome, str(port) in found.seen) == (Outcome.problem, True)
    assert "unset" in (found.remedy or "")


def test_a_prefect_api_that_answers_tells_its_version(api, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", api.api_url)
    found = list(prefect_check.check(case(tmp_path)))
    assert [it.outcome for it in found] == [Outcome.ok, Outcome.ok]
    assert "as ours" in found[1].seen


def test_a_root_that_cannot_be_written_is_a_problem(tmp_path):
    (tmp_path / "file").touch()
    found = named(list(disk.check(case(tmp_path / "file"))), "root")
    assert found.outcome is Outcome.problem
    assert "--root" in (found.remedy or "")


def test_nothing_is_made_where_nothing_was(tmp_path):
    findings = list(bucket.check(case(tmp_path / "absent")))
    assert [it for it in findings if it.outcome is Outcome.problem] == []
    assert not (tmp_path / "absent").exists()
