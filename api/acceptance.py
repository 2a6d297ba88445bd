"""Turns sends into rows: the same request is the same notification, and a bad one leaves no row."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import Caller
from api.contact_rules import ContactRules
from api.problems import Fault, at
from api.schemas.recipients import ATTRIBUTES_TOO_LARGE, profile_of
from api.schemas.sends import SendRequest
from api.send_checks import NO_SUCH_TYPE, expiry_faults, send_faults
from api.send_groups import SendGroups, announce
from bootstrap import Parts
from domain.digests import group_of
from domain.notification_types import NotificationType
from metrics.sends import ACCEPT_SECONDS, ACCEPTED
from models.columns import new_id
from storage import people
from storage.acceptance import Accepted, NewNotification, accept, held_keys

Json = dict[str, Any]

KEY_REUSED = at("", "the idempotency key was used before with another body")
UNKNOWN_RECIPIENT = "there is no such recipient; give the profile inline as `recipient`, or PUT it first"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One send: what was asked, and with an idempotency key the hash of its canonical body."""

    request: SendRequest
    key: str | None
    digest: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A notification that stands, new or from an earlier request with the same key."""

    values: Json
    replayed: bool


Answer = Taken | list[Fault]


def digest_of(body: Json, key: str | None) -> str | None:
    """Of the canonical body: the order of its members and the white space between them do not count. None without a
    key, which is all that it is compared for."""
    if key is None:
        return None
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(canonical.encode()).hexdigest()


class Acceptance:
    def __init__(self, parts: Parts, groups: SendGroups, caller: Caller) -> None:
        self._parts = parts
        self._groups = groups
        self._caller = caller
        self._tenant = caller.tenant

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of the asks. Keys are looked up first, so that a replay survives a deleted type."""
        with ACCEPT_SECONDS.time():
            return await self._take(asks)

    async def _take(self, asks: Sequence[Ask]) -> list[Answer]:
        answers = await self.known(asks)
        prepared = await self.prepare({index: ask for index, ask in enumerate(asks) if index not in answers})
        new = {index: each for index, each in prepared.items() if isinstance(each, NewNotification)}
        answers |= {index: each for index, each in prepared.items() if not isinstance(each, NewNotification)}
        if new:
            answers |= await self._insert(asks, new)
        return [answers[index] for index in range(len(asks))]

    async def known(self, asks: Sequence[Ask]) -> dict[int, Answer]:
        """Answers of those whose key is held by an earlier request."""
        keys = [ask.key for ask in asks if ask.key is not None]
        held = await self._held(keys) if keys else {}
        return {
            index: _repeat(ask, held[ask.key])
            for index, ask in enumerate(asks)
            if ask.key is not None and ask.key in held
        }

    async def _held(self, keys: list[str]) -> dict[str, Json]:
        if len(keys) == 1:
            row = await self._groups.held_key(self._tenant, keys[0])
            return {} if row is None else {keys[0]: row}
        async with self._parts.database.transaction() as session:
            return await held_keys(session, self._tenant, keys, self._parts.settings.idempotency_window)

    async def prepare(self, asks: Mapping[int, Ask]) -> dict[int, NewNotification | list[Fault]]:
        """Check all of them together. What can be inserted has not been looked up by its key."""
        types = {
            key: await self._parts.catalog.current_type(self._tenant, key)
            for key in {ask.request.notification_type for ask in asks.values()}
        }
        kinds = {index: types[ask.request.notification_type] for index, ask in asks.items()}
        known = {index: kind for index, kind in kinds.items() if kind is not None}
        sends = [(kind, asks[index].request) for index, kind in known.items()]
        found = dict(zip(known, await send_faults(self._parts, self._caller, sends), strict=True))
        return {
            index: [NO_SUCH_TYPE] if kind is None else self._faults(ask, kind, found[index]) or self._new(ask, kind)
            for (index, ask), kind in zip(asks.items(), kinds.values(), strict=True)
        }

    def _faults(self, ask: Ask, kind: NotificationType, found: list[Fault]) -> list[Fault]:
        recipient = ask.request.recipient
        if recipient is not None:
            rules = ContactRules.of(self._parts.settings, self._caller)
            found = found + rules.profile_faults(recipient, "recipient")
        return found + expiry_faults(ask.request, kind)

    def _new(self, ask: Ask, kind: NotificationType) -> NewNotification:
        request = ask.request
        return NewNotification(
            id=new_id(),
            recipient_id=request.person,
            profile=None if request.recipient is None else profile_of(request.recipient),
            notification_type=kind.key,
            type_id=kind.id,
            event_payload=request.payload,
            priority=request.priority or kind.priority,
            channels=None if request.channels is None else [str(channel) for channel in request.channels],
            tags=tuple(request.tags),
            idempotency_key=ask.key,
            idempotency_hash=ask.digest,
            send_at=request.send_at,
            expires_in=kind.worthless_after(request.lifetime),
            cancel_key=request.cancel_key,
            digest_group=self._group(request, kind) if kind.timing.collects else None,
        )

    def _group(self, request: SendRequest, kind: NotificationType) -> str:
        secret = self._parts.settings.secret
        return group_of(secret, self._tenant, kind, request.person, request.payload, request.channels)

    async def _stored(self, items: list[NewNotification]) -> Mapping[UUID, Accepted]:
        if len(items) == 1 and items[0].profile is None:
            return {items[0].id: await self._groups.insert(self._tenant, items[0])}
        async with self._parts.database.transaction() as session:
            rows = await self.store(session, items)
        announce(self._parts, items)
        return rows

    async def store(self, session: AsyncSession, items: list[NewNotification]) -> Mapping[UUID, Accepted]:
        """Insert them. The caller commits and then announces them."""
        zones = {item.recipient_id: item.profile.get("timezone") for item in items if item.profile}
        movers = await people.movers(session, self._tenant, zones)
        rows = await accept(session, self._tenant, items, notify=False)
        if movers:
            await people.moved(session, self._tenant, movers)
        return rows

    async def _insert(self, asks: Sequence[Ask], new: dict[int, NewNotification]) -> dict[int, Answer]:
        rows = await self._stored(list(new.values()))
        count_accepted(new.values(), rows)
        outcomes = {index: outcome_of(item, rows[item.id]) for index, item in new.items()}
        answers = {index: outcome for index, outcome in outcomes.items() if outcome is not None}
        refused = [index for index, item in new.items() if rows[item.id].created_at is None]
        return answers | await self._concurrent(asks, refused)

    async def _concurrent(self, asks: Sequence[Ask], refused: list[int]) -> dict[int, Answer]:
        """Another request may take the key between our look-up and our INSERT, which has waited for its commit."""
        held = await self.known([asks[index] for index in refused])
        return {refused[place]: answer for place, answer in held.items()}


def acceptance_of(request: Request) -> Acceptance:
    """Called by the routes themselves: FastAPI needs longer for three dependencies than sends need for the rest."""
    state = request.app.state
    return Acceptance(state.parts, state.send_groups, request.state.caller)


def outcome_of(item: NewNotification, row: Accepted) -> Answer | None:
    """None if another notification has its key."""
    if row.created_at is not None:
        return Taken(values=_values(item, row), replayed=False)
    if row.attributes_too_large:
        return [at("/recipient/attributes", ATTRIBUTES_TOO_LARGE)]
    return None if row.known_recipient else [at("/recipient_id", UNKNOWN_RECIPIENT)]


def count_accepted(items: Iterable[NewNotification], rows: Mapping[UUID, Accepted]) -> None:
    for item in items:
        if rows[item.id].created_at is not None:
            ACCEPTED.labels(str(item.priority)).inc()


def _repeat(ask: Ask, row: Json) -> Answer:
    if row["idempotency_hash"] != ask.digest:
        return [KEY_REUSED]
    return Taken(values={name: row[name] for name in SHOWN}, replayed=True)


SHOWN = ("id", "notification_type", "recipient_id", "priority", "created_at", "send_at", "expires_at")


def _values(item: NewNotification, row: Accepted) -> Json:
    times: dict[str, Any] = {"created_at": row.created_at, "expires_at": row.expires_at}
    return {name: getattr(item, name) for name in SHOWN if name not in times} | times
