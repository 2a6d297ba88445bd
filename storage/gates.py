"""Write and read what open notifications wait for before they may be sent."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from domain.durations import parse_duration
from domain.evidence import AttemptState, Evidence
from domain.gates import Gate
from domain.json_types import Json
from domain.names import COLLECT_DUE, DISPATCH_CHANNEL, derived_id
from domain.waits import HoldState, NotificationWaits, WaitingCall, WaitingDelivery, WaitingRows, find_waits
from storage.ledgers import NotificationRef
from storage.statements import Executor, decoded, parse_time, statement

WAIT_AT_GATE = statement("gates/wait_at_gate")
PASS_GATES = statement("gates/pass_gates")
# It is collected from now on, and has no workflow of its own.
MOVE_TO_DIGEST = statement("gates/move_to_digest")


async def wait_at_gate(session: Executor, ref: NotificationRef, generation: int, gate: Gate) -> None:
    """Write the event of a wait. Idempotent per gate and end of the wait."""
    until = None if gate.until is None else gate.until.isoformat(timespec="seconds").replace("+00:00", "Z")
    values = {
        "id": ref.notification_id,
        "tenant": ref.tenant,
        "generation": generation,
        "reason": gate.reason,
        "provider": gate.provider,
        "until": gate.until,
        "until_text": until,
        "event_id": derived_id("waiting", ref.notification_id, generation, gate.reason, gate.provider, until),
    }
    await session.execute(WAIT_AT_GATE, values)


async def pass_gates(session: AsyncSession, ref: NotificationRef) -> bool:
    """Record that the gates are passed. Return False if a concurrent duplicate has handed it to a digest."""
    passing = await session.execute(PASS_GATES, {"id": ref.notification_id, "tenant": ref.tenant})
    return passing.one_or_none() is not None


async def move_to_digest(session: AsyncSession, ref: NotificationRef, generation: int, group: str) -> None:
    values = {"id": ref.notification_id, "tenant": ref.tenant, "generation": generation, "group": group}
    await session.execute(MOVE_TO_DIGEST, {**values, "channel": DISPATCH_CHANNEL, "due": COLLECT_DUE})


SELECT_WAITS = statement("gates/select_waits")


async def read_waits(
    session: AsyncSession, tenant: UUID, ids: Sequence[UUID], now: datetime
) -> dict[UUID, NotificationWaits]:
    """Return the waits of the open notifications among `ids`. Execute no statement if there are none."""
    if not ids:
        return {}
    rows = (await session.execute(SELECT_WAITS, {"tenant": tenant, "ids": list(ids)})).mappings()
    return {row["id"]: find_waits(_waiting_rows(row), now) for row in rows}


def _waiting_rows(row: RowMapping) -> WaitingRows:
    plain = ("send_at", "expires_at", "collected", "closes_at", "gate", "gate_until", "is_queued")
    deliveries = tuple(_waiting_delivery(one) for one in decoded(row["deliveries"]) or ())
    return WaitingRows(**{name: row[name] for name in plain}, deliveries=deliveries)


def _waiting_delivery(value: Json) -> WaitingDelivery:
    return WaitingDelivery(
        id=UUID(value["id"]),
        awaited_evidence=Evidence(value["awaited_evidence"]) if value["awaited_evidence"] else None,
        sent_at=parse_time(value["sent_at"]),
        within=parse_duration(value["within"]) if value["within"] else None,
        hold=_hold_state(value["hold"]),
        calls=tuple(
            WaitingCall(state=AttemptState(call["state"]), next_at=parse_time(call["next_at"]))
            for call in value["calls"] or ()
        ),
    )


def _hold_state(value: Json | None) -> HoldState | None:
    if value is None:
        return None
    times = {name: parse_time(value[name]) for name in ("probe_at", "throttled_until")}
    return HoldState(paused=value["paused"], circuit_open=value["circuit_open"], **times)
