"""Record the histories in this folder from the running engine: `.venv/bin/python -m tests.histories.record name …`.

Run it for a new story. Histories of a release are never recorded again, only added: they prove that workflows of
that release continue (docs/deploying.md).
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from embedded.temporary_servers import temporary_postgres
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import running_engine
from tests.histories.continued_as_new import DYNAMIC_CONFIG, RENEWED
from tests.histories.delivery_queues import QUEUED
from tests.histories.goals import GOALS
from tests.histories.keep import kept
from tests.histories.stories import POOLED, STORIES
from tests.histories.time_gates import CLOCKS, TIMED
from tests.storage.databases import create_template
from tests.stories.vendors import run_vendors, vendor_environment

HERE = Path(__file__).parent
SINGLE_ENGINE = {**STORIES, **GOALS, **QUEUED, **TIMED, **CLOCKS}
IDENTITY = re.compile(r"\d+@")  # a process and its machine, in identities and the names of sticky queues


def anonymize(value: Any) -> Any:
    """Remove what identifies the recording machine: who polled, and the paths of its code."""
    if isinstance(value, list):
        return [anonymize(one) for one in value]
    if isinstance(value, dict):
        return {name: "" if name == "stackTrace" else anonymize(one) for name, one in value.items()}
    return "recorder" if isinstance(value, str) and IDENTITY.match(value) else value


async def record(name: str, api_tenant: ApiTenant) -> None:
    id = await {**SINGLE_ENGINE, **POOLED, **RENEWED}[name](api_tenant)
    if name not in CLOCKS:
        await api_tenant.wait_until_finished(id, within=120)
        id = api_tenant.engine.workflow(id).id
    history = await (first_run(api_tenant, id) if name in RENEWED else api_tenant.engine.workflow_history(id))
    saved = {"workflowId": history.workflow_id, **anonymize(json.loads(history.to_json()))}
    (HERE / f"{name}.json").write_text(json.dumps(saved, indent=1) + "\n")


async def first_run(api_tenant: ApiTenant, workflow_id: str) -> WorkflowHistory:
    client = api_tenant.engine.temporal
    described = await client.get_workflow_handle(workflow_id).describe()
    first = described.raw_description.workflow_execution_info.first_run_id
    return await client.get_workflow_handle(workflow_id, run_id=first).fetch_history()


@asynccontextmanager
async def pool() -> AsyncIterator[list[str]]:
    """Provide two email providers of which the first is down."""
    async with run_vendors() as (web, mail):
        await web.stop()
        os.environ.update(vendor_environment(web, mail))
        yield ["sendgrid=50", "smtp=50"]


async def main(names: list[str]) -> None:
    if again := {*names} & set(kept()):
        raise SystemExit(f"released and never recorded again: {', '.join(sorted(again))}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for part in ("postgres", "temporal", "pooled", "renewed"):
            (home / part).mkdir()
        async with temporary_postgres(home / "postgres") as postgres:
            await create_template(postgres.url)
            await record_all([name for name in names if name in SINGLE_ENGINE], postgres.url, home / "temporal")
            if renewed := [name for name in names if name in RENEWED]:
                await record_all(renewed, postgres.url, home / "renewed", dynamic_config=DYNAMIC_CONFIG)
            if pooled := [name for name in names if name in POOLED]:
                async with pool() as members:
                    await record_all(pooled, postgres.url, home / "pooled", email_providers=members)


async def record_all(names: list[str], database_url: str, home: Path, **settings: Any) -> None:
    async with running_engine(database_url, home, **settings) as engine:
        for name in names:
            async with open_api_tenant(engine) as api_tenant:
                await record(name, api_tenant)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
