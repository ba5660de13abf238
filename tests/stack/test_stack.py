"""The compose stack, for real: `make test-stack`."""

import re
import subprocess

import psutil
import pytest

from pipelines.deployed.register import POOL
from storage.objects import AccessDenied, Bucket
from storage.tables import Lake, open_table

from ..readme.blocks import shell_blocks
from .conftest import QUICK, RUN, STEPS, Killed, Restarted
from .stack import BUCKET, PATIENCE_S, ROOT, Stack, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3600)]

SERVICES = {"minio", "postgres", "prefect", "worker"}
JOBS = {"bucket", "databases", "deployments"}


def test_every_part_is_healthy_and_every_job_done(stack: Stack) -> None:
    found = stack.containers()
    assert {name: it["State"]["Health"]["Status"] for name, it in found.items() if name in SERVICES} == (
        dict.fromkeys(SERVICES, "healthy")
    )
    assert {name: it["State"]["ExitCode"] for name, it in found.items() if name in JOBS} == (
        dict.fromkeys(JOBS, 0)
    )


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    published = [
        binding["HostIp"]
        for it in stack.containers().values()
        for bindings in (it["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert set(published) == {"127.0.0.1"}
    listening = {
        it.laddr.ip
        for it in psutil.net_connections("inet")
        if it.status == psutil.CONN_LISTEN and it.laddr.port in stack.ports
    }
    assert listening <= {"127.0.0.1"}


def test_secrets_are_for_their_owner_alone_and_go_only_where_they_are_used(stack: Stack) -> None:
    assert stack.env_file.stat().st_mode & 0o777 == 0o600
    knows = {
        name: {
            service
            for service, it in stack.containers().items()
            if any(secret in variable for variable in it["Config"]["Env"])
        }
        for name, secret in stack.settings().items()
        if re.search("PASSWORD|SECRET", name)
    }
    assert knows == {
        "MINIO_ROOT_PASSWORD": {"minio", "bucket"},
        "BUCKET_SECRET_KEY": {"bucket", "worker"},
        "POSTGRES_PASSWORD": {"postgres", "databases"},
        "PREFECT_DB_PASSWORD": {"databases", "prefect"},
        "CATALOG_DB_PASSWORD": {"databases", "worker"},
    }


def test_our_containers_run_without_privileges(stack: Stack) -> None:
    for name, it in stack.containers().items():
        host = it["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert min(host["Memory"], host["PidsLimit"]) > 0, name
        if name in {"prefect", "deployments", "worker"}:
            assert it["Config"]["User"] == "carousel"


def test_the_bucket_user_can_touch_no_other_bucket(stack: Stack, other_bucket: str) -> None:
    Bucket(other_bucket, stack.access(root=True)).create()
    other = Bucket(other_bucket, stack.access())
    with pytest.raises(AccessDenied):
        other.put("key", b"data")
    with pytest.raises(AccessDenied):
        list(other.list(""))
    with pytest.raises(AccessDenied):
        Bucket(f"{other_bucket}-2", stack.access()).create()


def test_schedules_are_installed(stack: Stack) -> None:
    found = stack.api("deployments/filter", {})
    crons = {it["name"]: [each["schedule"]["cron"] for each in it["schedules"]] for it in found}
    assert crons == {"demo": [], "train-nightly": ["0 2 * * *"], "score-hourly": ["17 * * * *"]}
    assert {(it["work_pool_name"], it["global_concurrency_limit"]["limit"]) for it in found} == {(POOL, 1)}


def test_a_killed_training_goes_on_from_its_newest_commit(stack: Stack, killed: Killed) -> None:
    assert killed.exit_code == 0, killed.log
    assert killed.flow_run["state_type"] == "COMPLETED"
    assert killed.flow_run["run_count"] == 2
    resumed = re.search(rf"resumed from (\w+) at step (\d+) of {STEPS}", killed.log)
    assert resumed, killed.log
    commits = stack.commits(RUN)
    by_id = {commit.id: commit for commit in commits}
    assert by_id[resumed[1]].step == int(resumed[2])
    assert by_id[resumed[1]].step >= max(commit.step for commit in killed.before) > 0
    assert len({commit.attempt for commit in commits}) == 2
    assert max(commit.step for commit in commits) == STEPS
    assert stack.containers()["worker"]["RestartCount"] == 1


def test_checkpoints_tables_and_forecasts_lie_in_minio(stack: Stack, killed: Killed) -> None:
    assert rows_of(stack, "flights") == 175_200
    assert rows_of(stack, "predictions") == 480
    assert list(Bucket(BUCKET, stack.access()).list("checkpoints/packs/"))


def test_the_demo_says_where_to_look(stack: Stack, killed: Killed) -> None:
    assert f"http://127.0.0.1:{stack.ports[0]}" in killed.log
    assert "same hour last week" in killed.log


def test_cancelling_a_run_ends_its_ranks(stack: Stack, restarted: Restarted, tmp_path) -> None:
    log = tmp_path / "log"
    demo = stack.start_demo(log, "fresh=true", QUICK.replace(f"steps={STEPS}", "steps=100000"))
    wait_for("commit", lambda: len(stack.commits(f"{RUN}-2")) > 1)
    assert "lstm.training.worker" in stack.processes("worker")
    run = stack.deployed_run()["id"]
    stack.api(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    wait_for("end of the demo", lambda: demo.poll() is not None)
    assert demo.returncode == 1
    assert "Cancelled" in log.read_text()
    wait_for("end of the ranks", lambda: "lstm.training" not in stack.processes("worker"))


def test_runs_deployments_and_tables_outlive_down_and_up(
    stack: Stack, killed: Killed, restarted: Restarted
) -> None:
    assert restarted.flow_runs <= {it["id"] for it in stack.api("flow_runs/filter", {})}
    assert restarted.deployments == {it["id"] for it in stack.api("deployments/filter", {})}
    assert restarted.commits == stack.commits(RUN)
    assert rows_of(stack, "flights") == 175_200


def test_the_readmes_block_runs_as_it_stands_there(
    stack: Stack, killed: Killed, restarted: Restarted
) -> None:
    (block,) = shell_blocks("stack")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.body],
        cwd=ROOT,
        env={**stack.environment, "ARGS": f"'{QUICK}'"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "same hour last week" in done.stdout + done.stderr
    assert not stack.containers()


def rows_of(stack: Stack, table: str) -> int:
    """Rows of a Delta table, read with the bucket's user."""
    found = open_table(Lake(access=stack.access()), f"s3://{BUCKET}/{table}", format="delta")
    return sum(file.rows for file in found.snapshot().files)
