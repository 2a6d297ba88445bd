"""Which digest a send would be collected in, and what that would send. Used by `activities/predictions.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from activities.gates import Asked
from domain.channels import Channel
from domain.digests import Folded, Item, Member, Window, collect, fold
from domain.forecasts import DigestForecast
from domain.messages import ResolveInput
from domain.statuses import NotificationStatus
from models.columns import new_id
from storage import digest_prospects
from storage.acceptance import NewNotification
from storage.catalog import Catalog
from storage.database import Database, to_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An item as it comes to its digest: when, until when it is of use, and whether a gate has handed it over."""

    new: NewNotification
    at: datetime
    expires_at: datetime | None
    is_handed_over: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedDigest:
    """`end` is what becomes of the item; unless that is DIGESTED, it is not part of `asked`, the digest's own
    notification."""

    window: DigestForecast
    end: NotificationStatus
    asked: Asked
    expires_at: datetime | None


class PredictedDigests:
    def __init__(self, database: Database, catalog: Catalog, secret: bytes) -> None:
        self._database = database
        self._catalog = catalog
        self._secret = secret

    async def collect(self, asked: Asked, arrival: Arrival) -> PredictedDigest | None:
        """None: it goes out by itself, as the first one of a type that sends that at once."""
        tenant, group = asked.start.tenant, asked.group(self._secret)
        async with self._database.transaction() as session:
            window = await digest_prospects.open_window(session, tenant, group)
            earlier = await digest_prospects.waiting_items(session, tenant, group, arrival.at)
            window = _joined(asked, window, [*earlier, _item(asked, arrival)])
            if window is None:
                return None
            others = [id for id in window.members if id != arrival.new.id]
            members = await digest_prospects.members(session, tenant, window.id, others)
        closes_at = arrival.at if window.full else window.closes_at
        folded = fold([*members, _member(asked, arrival)], closes_at)
        made = await self._made(asked, window, folded, closes_at)
        return PredictedDigest(
            window=DigestForecast(opened_at=window.opened_at, closes_at=closes_at, items=len(folded.items)),
            end=folded.ends[arrival.new.id],
            asked=made,
            expires_at=None if made.kind.expires_in is None else closes_at + made.kind.expires_in,
        )

    async def _made(self, asked: Asked, window: Window, folded: Folded, closes_at: datetime) -> Asked:
        """The notification that is made of the window."""
        audience, tenant = asked.audience, asked.start.tenant
        words = replace(
            audience.words, type_id=window.type_id, payload=folded.payload, digest=True, created_at=closes_at
        )
        channels = None if folded.channels is None else tuple(map(Channel, folded.channels))
        return Asked(
            start=ResolveInput(notification_id=new_id(), tenant=tenant, generation=1),
            kind=await self._catalog.type_by_id(tenant, window.type_id),
            audience=replace(audience, words=words, priority=folded.priority, channels=channels),
        )


def _joined(asked: Asked, window: Window | None, items: Sequence[Item]) -> Window | None:
    """The window that the last of the items falls into, as each is collected when it comes. None: it is released."""
    rule = asked.kind.timing.digest
    if rule is None:
        raise LookupError(f"{asked.kind.key} collects nothing")
    released = None
    for item in items:
        is_over = window is not None and (window.full or window.closes_at <= item.at)
        collected = collect(rule, None if is_over else window, [item], new_id)
        window, released = collected.windows[-1], collected.released
    return window if released is None else None


def _item(asked: Asked, arrival: Arrival) -> Item:
    return Item(
        id=arrival.new.id,
        at=arrival.at,
        bytes=len(to_json(asked.audience.words.payload).encode()),
        type_id=asked.kind.id,
        zone=asked.audience.timezone,
        handed_over=arrival.is_handed_over,
    )


def _member(asked: Asked, arrival: Arrival) -> Member:
    channels = asked.audience.channels
    return Member(
        id=arrival.new.id,
        payload=asked.audience.words.payload,
        priority=asked.audience.priority,
        canceled=False,
        expires_at=arrival.expires_at,
        channels=None if channels is None else tuple(map(str, channels)),
        tags=arrival.new.tags,
    )
