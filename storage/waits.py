"""Reads what open notifications wait for: their queue entries, deliveries, calls, holds, circuits and digests."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.durations import parse_duration
from domain.evidence import AttemptState, Evidence
from domain.json_types import JsonObject
from domain.waits import HoldState, NotificationWaits, WaitingCall, WaitingDelivery, WaitingRows, find_waits
from storage.rows import decoded, parse_time

# As the guard asks: pauses first, then circuits, then what a vendor has asked for.
HOLD_STATE = """CASE WHEN d.held_at IS NOT NULL THEN jsonb_build_object(
           'paused', EXISTS (SELECT 1 FROM hold h WHERE (h.tenant IS NULL OR h.tenant = n.tenant) AND CASE h.kind
                       WHEN 'tenant' THEN true WHEN 'channel' THEN h.name = d.channel
                       WHEN 'type' THEN h.name = n.notification_type ELSE h.name = ANY(d.held_providers) END),
           'circuit_open', EXISTS (SELECT 1 FROM provider_health p
                                    WHERE p.provider = ANY(d.held_providers) AND p.state <> 'closed'),
           'probe_at', (SELECT min(p.probe_at) FROM provider_health p
                         WHERE p.provider = ANY(d.held_providers) AND p.state = 'open'),
           'throttled_until', (SELECT min(p.throttled_until) FROM provider_health p
                                WHERE p.provider = ANY(d.held_providers))) END"""
LAST_CALLS = """(SELECT jsonb_agg(jsonb_build_object('state', a.state, 'next_at', a.next_at)) FROM (
           SELECT DISTINCT ON (endpoint_id) state, next_at FROM attempt
            WHERE notification_id = n.id AND delivery_id = d.id ORDER BY endpoint_id, number DESC) a)"""
SELECT_WAITS = text(f"""
SELECT n.id, n.send_at, n.expires_at, n.digest_key IS NOT NULL AS collected, g.closes_at, q.waits_for AS gate,
       q.waits_until AS gate_until, COALESCE(q.state IN ('due', 'claimed'), false) AS is_queued,
       (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'awaited_evidence', d.awaited_evidence, 'sent_at', d.sent_at,
                'within', t.spec -> 'route' -> (d.step - 1) ->> 'within', 'hold', {HOLD_STATE}, 'calls', {LAST_CALLS}))
          FROM delivery d
         WHERE d.notification_id = n.id AND d.generation = n.generation
           AND (d.status IN ('PENDING', 'SENDING') OR d.awaited_evidence IS NOT NULL)) AS deliveries
  FROM notification n
  JOIN notification_type t ON t.id = n.type_id
  LEFT JOIN queue_entry q ON q.notification_id = n.id
  LEFT JOIN digest g ON g.id = n.digest_id
 WHERE n.tenant = :tenant AND n.id = ANY(:ids) AND n.finished_at IS NULL
""")  # noqa: S608 - constants of our own


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
