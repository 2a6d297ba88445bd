"""Accept send requests and insert their notifications. A repeated request returns the same notification; an invalid one
inserts no row."""

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
from api.problems import ValidationIssue, issue_at
from api.schemas.recipients import ATTRIBUTES_TOO_LARGE, profile_of
from api.schemas.sends import SendRequest
from api.send_checks import UNKNOWN_TYPE, find_expiry_issues, find_send_issues
from api.send_statement_groups import SendStatementGroups, announce_accepted
from bootstrap import Container
from domain.digests import digest_key_of
from domain.json_types import Json
from domain.notification_types import NotificationType
from metrics.sends import ACCEPT_SECONDS, ACCEPTED
from models.columns import new_id
from storage import timezone_changes
from storage.acceptance import AcceptResult, NewNotification, accept, find_key_holders

KEY_REUSED = issue_at("", "the idempotency key was already used with another body")
UNKNOWN_RECIPIENT = "there is no such recipient; PUT it first, or give the profile inline as `recipient`"


@dataclass(frozen=True, kw_only=True, slots=True)
class SendCommand:
    """One send request. `body_hash` is the hash of the canonical body, set only with an idempotency key."""

    request: SendRequest
    key: str | None
    body_hash: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedSend:
    """An accepted notification. `replayed` if an earlier request with the same key created it."""

    values: Json
    replayed: bool


SendResult = AcceptedSend | list[ValidationIssue]


def body_hash_of(body: Json, key: str | None) -> str | None:
    """Return the hash of the canonical body, which ignores member order and white space. Return None without a key,
    because the hash is only compared for requests with a key."""
    if key is None:
        return None
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(canonical.encode()).hexdigest()


class Acceptance:
    def __init__(self, container: Container, statement_groups: SendStatementGroups, caller: Caller) -> None:
        self._container = container
        self._statement_groups = statement_groups
        self._caller = caller
        self._tenant = caller.tenant

    async def accept(self, commands: Sequence[SendCommand]) -> list[SendResult]:
        """Return one result for each command, in order. Keys are looked up first, so that a replay works after its type
        was deleted."""
        with ACCEPT_SECONDS.time():
            return await self._accept(commands)

    async def _accept(self, commands: Sequence[SendCommand]) -> list[SendResult]:
        results = await self.find_replays(commands)
        prepared = await self.prepare(
            {index: command for index, command in enumerate(commands) if index not in results}
        )
        new = {index: each for index, each in prepared.items() if isinstance(each, NewNotification)}
        results |= {index: each for index, each in prepared.items() if not isinstance(each, NewNotification)}
        if new:
            results |= await self._insert_new(commands, new)
        return [results[index] for index in range(len(commands))]

    async def find_replays(self, commands: Sequence[SendCommand]) -> dict[int, SendResult]:
        """Return the results of commands whose key an earlier request holds, by index."""
        keys = [command.key for command in commands if command.key is not None]
        replays = await self._find_key_holders(keys) if keys else {}
        return {
            index: _replay(command, replays[command.key])
            for index, command in enumerate(commands)
            if command.key is not None and command.key in replays
        }

    async def _find_key_holders(self, keys: list[str]) -> dict[str, Json]:
        if len(keys) == 1:
            row = await self._statement_groups.find_key_holder(self._tenant, keys[0])
            return {} if row is None else {keys[0]: row}
        async with self._container.database.transaction() as session:
            return await find_key_holders(session, self._tenant, keys, self._container.settings.idempotency_window)

    async def prepare(self, commands: Mapping[int, SendCommand]) -> dict[int, NewNotification | list[ValidationIssue]]:
        """Check all commands together. Return a row to insert or the issues of each. Idempotency keys are not looked
        up."""
        types = {
            key: await self._container.catalog.current_type(self._tenant, key)
            for key in {command.request.notification_type for command in commands.values()}
        }
        types_by_index = {index: types[command.request.notification_type] for index, command in commands.items()}
        known = {
            index: notification_type
            for index, notification_type in types_by_index.items()
            if notification_type is not None
        }
        sends = [(notification_type, commands[index].request) for index, notification_type in known.items()]
        issues = dict(zip(known, await find_send_issues(self._container, self._caller, sends), strict=True))
        return {
            index: [UNKNOWN_TYPE]
            if notification_type is None
            else self._find_issues(command, notification_type, issues[index])
            or self._new_notification(command, notification_type)
            for (index, command), notification_type in zip(commands.items(), types_by_index.values(), strict=True)
        }

    def _find_issues(
        self, command: SendCommand, notification_type: NotificationType, issues: list[ValidationIssue]
    ) -> list[ValidationIssue]:
        recipient = command.request.recipient
        if recipient is not None:
            rules = ContactRules.of(self._container.settings, self._caller)
            issues = issues + rules.find_profile_issues(recipient, "recipient")
        return issues + find_expiry_issues(command.request, notification_type)

    def _new_notification(self, command: SendCommand, notification_type: NotificationType) -> NewNotification:
        request = command.request
        return NewNotification(
            id=new_id(),
            recipient_id=request.resolved_recipient_id,
            profile=None if request.recipient is None else profile_of(request.recipient),
            notification_type=notification_type.key,
            type_id=notification_type.id,
            event_payload=request.payload,
            priority=request.priority or notification_type.priority,
            channels=None if request.channels is None else [str(channel) for channel in request.channels],
            tags=tuple(request.tags),
            idempotency_key=command.key,
            idempotency_hash=command.body_hash,
            send_at=request.send_at,
            expires_in=notification_type.effective_expires_in(request.expires_in_duration),
            cancel_key=request.cancel_key,
            digest_key=self._digest_key(request, notification_type) if notification_type.timing.collects else None,
        )

    def _digest_key(self, request: SendRequest, notification_type: NotificationType) -> str:
        secret = self._container.settings.secret
        return digest_key_of(
            secret, self._tenant, notification_type, request.resolved_recipient_id, request.payload, request.channels
        )

    async def _store_new(self, items: list[NewNotification]) -> Mapping[UUID, AcceptResult]:
        if len(items) == 1 and items[0].profile is None:
            return {items[0].id: await self._statement_groups.insert(self._tenant, items[0])}
        async with self._container.database.transaction() as session:
            rows = await self.store(session, items)
        announce_accepted(self._container, items)
        return rows

    async def store(self, session: AsyncSession, items: list[NewNotification]) -> Mapping[UUID, AcceptResult]:
        """Insert the notifications. The caller commits and then announces them."""
        zones = {item.recipient_id: item.profile.get("timezone") for item in items if item.profile}
        changes = await timezone_changes.find_timezone_changes(session, self._tenant, zones)
        rows = await accept(session, self._tenant, items, notify=False)
        if changes:
            await timezone_changes.apply_timezone_changes(session, self._tenant, changes)
        return rows

    async def _insert_new(
        self, commands: Sequence[SendCommand], new: dict[int, NewNotification]
    ) -> dict[int, SendResult]:
        rows = await self._store_new(list(new.values()))
        count_accepted(new.values(), rows)
        new_results = {index: send_result_of(item, rows[item.id]) for index, item in new.items()}
        results = {index: new_result for index, new_result in new_results.items() if new_result is not None}
        conflicting = [index for index, item in new.items() if rows[item.id].created_at is None]
        return results | await self._find_concurrent_duplicates(commands, conflicting)

    async def _find_concurrent_duplicates(
        self, commands: Sequence[SendCommand], conflicting: list[int]
    ) -> dict[int, SendResult]:
        """Find replays of a request that inserted the same key between our lookup and our INSERT. The INSERT waited for
        its commit."""
        replays = await self.find_replays([commands[index] for index in conflicting])
        return {conflicting[position]: result for position, result in replays.items()}


def acceptance_of(request: Request) -> Acceptance:
    """Build the acceptance of a request. Routes call this instead of `Depends`, because FastAPI spends more time on
    three dependencies than the rest of a send takes."""
    state = request.app.state
    return Acceptance(state.container, state.send_statement_groups, request.state.caller)


def send_result_of(item: NewNotification, row: AcceptResult) -> SendResult | None:
    """Return the result of an inserted row, or None if another notification has its key."""
    if row.created_at is not None:
        return AcceptedSend(values=_response_values(item, row), replayed=False)
    if row.attributes_too_large:
        return [issue_at("/recipient/attributes", ATTRIBUTES_TOO_LARGE)]
    return None if row.known_recipient else [issue_at("/recipient_id", UNKNOWN_RECIPIENT)]


def count_accepted(items: Iterable[NewNotification], rows: Mapping[UUID, AcceptResult]) -> None:
    for item in items:
        if rows[item.id].created_at is not None:
            ACCEPTED.labels(str(item.priority)).inc()


def _replay(command: SendCommand, row: Json) -> SendResult:
    if row["idempotency_hash"] != command.body_hash:
        return [KEY_REUSED]
    return AcceptedSend(values={name: row[name] for name in RESPONSE_FIELDS}, replayed=True)


RESPONSE_FIELDS = ("id", "notification_type", "recipient_id", "priority", "created_at", "send_at", "expires_at")


def _response_values(item: NewNotification, row: AcceptResult) -> Json:
    times: dict[str, Any] = {"created_at": row.created_at, "expires_at": row.expires_at}
    return {name: getattr(item, name) for name in RESPONSE_FIELDS if name not in times} | times
