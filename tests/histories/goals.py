"""Record steps with a goal: it is reached by a receipt, or missed, and the next step follows."""

from collections.abc import Sequence

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from tests.api_tenants import ApiTenant
from tests.histories.stories import PHONE, HistoryStory
from tests.polling import eventually


async def escalated_after_within(api_tenant: ApiTenant) -> str:
    await alert(api_tenant, "ada+silent@example.com", "2s")
    return await api_tenant.send("alert")


async def escalated_by_the_queue(api_tenant: ApiTenant) -> str:
    """The wait for the goal is so long that the queue ends it, and not the workflow's own timer."""
    await alert(api_tenant, "ada+silent@example.com", "65s")
    return await api_tenant.send("alert")


async def goal_reached_by_a_receipt(api_tenant: ApiTenant) -> str:
    await alert(api_tenant, "ada@example.com", "1h")
    return await api_tenant.send("alert")


async def goal_missed_by_a_bounce(api_tenant: ApiTenant) -> str:
    await alert(api_tenant, "ada+bounce@example.com", "1h")
    return await api_tenant.send("alert")


async def canceled_while_waiting_for_goal(api_tenant: ApiTenant) -> str:
    await alert(api_tenant, "ada+silent@example.com", "1h")
    id = await api_tenant.send("alert")
    await api_tenant.wait_for_status(id, "SENT")
    workflow = await api_tenant.engine.wait_for_start(id)
    await eventually(workflow.fetch_history, has_timer)
    await api_tenant.cancel(id)
    return id


async def always_step_with_the_route(api_tenant: ApiTenant) -> str:
    await api_tenant.add_template("alert", "in_app")
    await alert(api_tenant, "ada+refuse@example.com", "1h", always=["in_app"])
    return await api_tenant.send("alert")


async def alert(api_tenant: ApiTenant, email: str, within: str, always: Sequence[str] = ()) -> None:
    """Send by email, and by SMS if the email is not delivered in time."""
    await api_tenant.put_type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "delivered", "within": within}, {"channels": ["sms"]}]
    templates = dict.fromkeys(["email", "sms", *always], "alert")
    await api_tenant.call(
        "PUT", "/notification-types/alert", {"route": steps, "templates": templates, "always": [*always]}
    )
    await api_tenant.put_recipient("ada", email=email, phone=PHONE)


def has_timer(history: WorkflowHistory) -> bool:
    return any(event.event_type == EventType.EVENT_TYPE_TIMER_STARTED for event in history.events)


GOALS: dict[str, HistoryStory] = {
    story.__name__: story
    for story in (
        escalated_after_within,
        escalated_by_the_queue,
        goal_reached_by_a_receipt,
        goal_missed_by_a_bounce,
        canceled_while_waiting_for_goal,
        always_step_with_the_route,
    )
}
