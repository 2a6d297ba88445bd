import os
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from embedded.ports import free_port
from embedded.readiness import accepts_connections, responds_ok
from embedded.supervisor import Supervisor
from embedded.temporal import Temporal
from embedded.temporary_servers import temporary_temporal

pytestmark = pytest.mark.temporal


def server(tmp_path: Path, namespace: str = "default") -> Temporal:
    return Temporal(
        port=free_port(),
        ui_port=free_port(),
        log=tmp_path / "temporal.log",
        file=tmp_path / "temporal.db",
        namespace=namespace,
    )


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_the_server_serves_its_namespace_and_pages_and_keeps_its_file(tmp_path: Path) -> None:
    first = server(tmp_path, "kept")
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(first.child())
        assert first.ui_port
        assert await responds_ok("127.0.0.1", first.ui_port, "/")
    assert not await first.is_ready()
    again = server(tmp_path)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(again.child())
        # This run did not request the namespace: it comes from the file.
        kept = Temporal(port=again.port, log=again.log, namespace="kept")
        assert await kept.is_ready()
        assert not await Temporal(port=again.port, log=again.log, namespace="unknown").is_ready()


async def test_ended_workflows_are_kept_for_three_days(tmp_path: Path) -> None:
    kept = server(tmp_path)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(kept.child())
        client = await Client.connect(kept.address)
        request = DescribeNamespaceRequest(namespace=kept.namespace)
        described = await client.workflow_service.describe_namespace(request)
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(hours=72)


async def test_the_server_is_not_ready_before_it_listens(tmp_path: Path) -> None:
    assert not await server(tmp_path).is_ready()


async def test_a_temporary_one_has_no_pages_and_no_file(tmp_path: Path) -> None:
    async with temporary_temporal(tmp_path, namespace="tests") as temporal:
        assert await accepts_connections("127.0.0.1", temporal.port)
        assert temporal.address == f"127.0.0.1:{temporal.port}"
    assert not await accepts_connections("127.0.0.1", temporal.port)
    assert names_in(tmp_path) == {"temporal.log"}


async def test_the_environment_of_other_programs_is_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", "ours alone")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "cloud.invalid:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "theirs")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    async with temporary_temporal(tmp_path) as temporal:
        assert await temporal.is_ready()
    env = temporal.child().env
    assert env is not None
    assert not [name for name in env if name.startswith(("TEMPORAL_", "TOCSIN_"))]
    assert env["PATH"] == os.environ["PATH"]


def test_default_limits_and_the_callers_limits_are_on_the_command_line(tmp_path: Path) -> None:
    temporal = Temporal(port=1, log=tmp_path / "log", dynamic_config={"frontend.WorkflowTimeSkippingEnabled": "true"})
    argv = temporal.child().argv
    assert "matching.numTaskqueueReadPartitions=1" in argv
    assert "frontend.WorkflowTimeSkippingEnabled=true" in argv
    assert "--headless" in argv
