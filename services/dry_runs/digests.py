"""Predict the digest that would collect a send, and what the digest would send. Used by `sends.py`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.channels import Channel
from domain.digests import DigestItem, DigestMember, DigestWindow, MergedItems, collect_items, merge_items
from domain.forecasts import DigestForecast
from domain.messages import ResolveInput
from domain.statuses import NotificationStatus
from models.columns import new_id
from services.gates import GateCheck
from storage import digest_collection
from storage.acceptance import NewNotification
from storage.catalog import Catalog
from storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestArrival:
    """Describe an item on its arrival in a digest: its time, its expiry, and whether a gate handed it over."""

    new: NewNotification
    at: datetime
    expires_at: datetime | None
    is_handed_over: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestPrediction:
    """Hold the predicted window. `end` is the status with which the item ends. `check` is the digest's own
    notification, which contains the item only if `end` is DIGESTED."""

    window: DigestForecast
    end: NotificationStatus
    check: GateCheck
    expires_at: datetime | None


class DigestPredictor:
    def __init__(self, database: Database, catalog: Catalog, secret: bytes) -> None:
        self._database = database
        self._catalog = catalog
        self._secret = secret

    async def collect(self, check: GateCheck, arrival: DigestArrival) -> DigestPrediction | None:
        """Return the digest of the item, or None if the item is sent alone as the first of a type with
        `send_first_immediately`."""
        tenant, group = check.start.tenant, check.digest_key(self._secret)
        async with self._database.transaction() as session:
            window = await digest_collection.find_open_window(session, tenant, group)
            earlier = await digest_collection.list_waiting_items(session, tenant, group, arrival.at)
            window = _window_of_last_item(check, window, [*earlier, _digest_item(check, arrival)])
            if window is None:
                return None
            others = [id for id in window.members if id != arrival.new.id]
            members = await digest_collection.list_members(session, tenant, window.id, others)
        closes_at = arrival.at if window.is_full else window.closes_at
        merged_items = merge_items([*members, _digest_member(check, arrival)], closes_at)
        digest_notification = await self._digest_notification(check, window, merged_items, closes_at)
        return DigestPrediction(
            window=DigestForecast(opened_at=window.opened_at, closes_at=closes_at, items=len(merged_items.items)),
            end=merged_items.ends[arrival.new.id],
            check=digest_notification,
            expires_at=None
            if digest_notification.notification_type.expires_in is None
            else closes_at + digest_notification.notification_type.expires_in,
        )

    async def _digest_notification(
        self, check: GateCheck, window: DigestWindow, merged_items: MergedItems, closes_at: datetime
    ) -> GateCheck:
        """Return the gate check of the notification that the window would create."""
        context, tenant = check.context, check.start.tenant
        template_context = replace(
            context.template_context,
            type_id=window.type_id,
            payload=merged_items.payload,
            digest=True,
            created_at=closes_at,
        )
        channels = None if merged_items.channels is None else tuple(map(Channel, merged_items.channels))
        return GateCheck(
            start=ResolveInput(notification_id=new_id(), tenant=tenant, generation=1),
            notification_type=await self._catalog.type_by_id(tenant, window.type_id),
            context=replace(
                context, template_context=template_context, priority=merged_items.priority, channels=channels
            ),
        )


def _window_of_last_item(
    check: GateCheck, window: DigestWindow | None, items: Sequence[DigestItem]
) -> DigestWindow | None:
    """Return the window of the last item, after the items are collected in order of arrival. Return None if the last
    item is released."""
    rule = check.notification_type.timing.digest
    if rule is None:
        raise LookupError(f"{check.notification_type.key} collects nothing")
    released = None
    for item in items:
        is_over = window is not None and (window.is_full or window.closes_at <= item.at)
        collected = collect_items(rule, None if is_over else window, [item], new_id)
        window, released = collected.windows[-1], collected.released
    return window if released is None else None


def _digest_item(check: GateCheck, arrival: DigestArrival) -> DigestItem:
    return DigestItem(
        id=arrival.new.id,
        at=arrival.at,
        # With the spaces of the database's JSON, whose text is counted for stored items.
        bytes=len(json.dumps(check.context.template_context.payload, ensure_ascii=False).encode()),
        type_id=check.notification_type.id,
        zone=check.context.timezone,
        is_handed_over=arrival.is_handed_over,
    )


def _digest_member(check: GateCheck, arrival: DigestArrival) -> DigestMember:
    channels = check.context.channels
    return DigestMember(
        id=arrival.new.id,
        payload=check.context.template_context.payload,
        priority=check.context.priority,
        canceled=False,
        expires_at=arrival.expires_at,
        channels=None if channels is None else tuple(map(str, channels)),
        tags=arrival.new.tags,
    )
