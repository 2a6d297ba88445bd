"""Read what Temporal stores of workflows and schedules: all their data, or the failure and the status alone."""

import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.client import WorkflowExecutionDescription, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain.names import TENANT_ATTRIBUTE
from tests.engine import Engine
from workflows.options import STATUS


def serialize(message: Message) -> bytes:
    """Return a message as protobuf, which has the raw payloads, and as JSON, which has the names of all fields."""
    return message.SerializeToString() + MessageToJson(message).encode()


async def read_workflow_data(engine: Engine, workflow_id: str) -> bytes:
    """Return all that Temporal stores of a workflow.

    This is the history with payloads, summaries and failures, and the search attributes, memo and current details.
    """
    history = await engine.workflow_history(workflow_id)
    handle = await engine.wait_for_workflow(workflow_id)
    description: WorkflowExecutionDescription = await handle.describe()
    details = await handle.query("__temporal_workflow_metadata")
    return b"".join(
        [
            *(serialize(event) for event in history.events),
            serialize(description.raw_description),
            str(details).encode(),
            history.to_json().encode(),
        ]
    )


async def list_workflows(engine: Engine, tenant_key: str) -> set[str]:
    return {execution.id async for execution in engine.temporal.list_workflows(f"{TENANT_ATTRIBUTE} = '{tenant_key}'")}


async def read_schedule(engine: Engine, id: str) -> bytes:
    return serialize((await engine.temporal.get_schedule_handle(id).describe()).raw_description)


async def read_failure(engine: Engine, id: str) -> str:
    """Return the failure message of a notification's workflow."""
    with pytest.raises(WorkflowFailureError) as failed:
        await (await engine.wait_for_start(id)).result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.message


async def status_attribute(engine: Engine, id: str) -> str | None:
    return (await engine.workflow(id).describe()).typed_search_attributes.get(STATUS)
