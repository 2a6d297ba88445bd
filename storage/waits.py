"""Reads what open notifications wait for: their queue entries, deliveries, calls, holds, circuits and digests."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from domain.durations import parse_duration
from domain.evidence import AttemptState, Evidence
from domain.json_types import JsonObject
from domain.waits import HoldState, NotificationWaits, WaitingCall, WaitingDelivery, WaitingRows, find_waits
from storage.rows import decoded, parse_time
from storage.statements import statement

SELECT_WAITS = statement("gates/select_waits")


async def read_waits(
    session: AsyncSession, tenant: UUID, ids: Sequence[UUID], now: datetime
) -> dict[UUID, NotificationWaits]:
    """Of those that are open; no statement if there are no `ids`."""
    if not ids:
        return {}
    rows = (await session.execute(SELECT_WAITS, {"tenant": tenant, "ids": list(ids)})).mappings()
    return {row["id"]: find_waits(_waiting_rows(row), now) for row in rows}


def _waiting_rows(row: RowMapping) -> WaitingRows:
    plain = ("send_at", "expires_at", "collected", "closes_at", "gate", "gate_until", "is_queued")
    deliveries = tuple(_waiting_delivery(one) for one in decoded(row["deliveries"]) or ())
    return WaitingRows(**{name: row[name] for name in plain}, deliveries=deliveries)


def _waiting_delivery(value: JsonObject) -> WaitingDelivery:
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


def _hold_state(value: JsonObject | None) -> HoldState | None:
    if value is None:
        return None
    times = {name: parse_time(value[name]) for name in ("probe_at", "throttled_until")}
    return HoldState(paused=value["paused"], circuit_open=value["circuit_open"], **times)
