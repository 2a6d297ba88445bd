"""Accept one request to several recipients. Each recipient gets a notification; one idempotency key covers all of them.
Called by the route of single sends."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Caller
from domain.json_types import Json
from domain.validation_issues import InvalidInput, issue_at
from metrics.sends import ACCEPT_SECONDS
from services.acceptance import KEY_REUSED, Acceptance, PreparedSend, count_accepted, send_result_of
from services.send_checks import UNKNOWN_TYPE
from services.send_commands import AcceptedSend, ErrorListing, RejectedItem, SendCommand, SendResult
from storage import acceptance, recipients
from storage.acceptance import AcceptResult, NewNotification
from storage.database import Database

MAX_SUBSCRIBERS = 1_000

NO_SUBSCRIBERS = issue_at("/topic", "has no subscribers")
TOO_MANY_SUBSCRIBERS = issue_at("/topic", f"has more than {MAX_SUBSCRIBERS:,} subscribers, the limit of one send")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientEntry:
    """One recipient. `recipient_id` is None if the entry cannot be read."""

    recipient_id: str | None
    parsed: SendCommand | RejectedItem


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiSendCommand:
    """A send to listed recipients or to a topic. `read_entries` builds the entries of the subscribers, or reads the
    listed ones if it gets None."""

    topic: str | None
    read_entries: Callable[[Sequence[str] | None], Awaitable[list[RecipientEntry]]]
    key: str | None
    body_hash: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryResult:
    """The stored result of an entry: `{id}`, or `{status, errors, more_errors}`."""

    recipient_id: str | None
    result: Json


class IdempotencyKeyConflict(Exception):
    """Report that a concurrent request with the same idempotency key was first."""


class MultiSends:
    """`key_window`: seconds for which an idempotency key is held."""

    def __init__(self, database: Database, acceptance: Acceptance, key_window: float) -> None:
        self._database = database
        self._acceptance = acceptance
        self._key_window = key_window

    async def accept(
        self, caller: Caller, send: MultiSendCommand, charge_points: Callable[[int], Awaitable[None]]
    ) -> tuple[list[EntryResult], bool]:
        """Return the result of each entry, and whether an earlier request created them. `charge_points` charges the
        rate limit for all recipients but the first and for copies. Raise InvalidInput for issues of the request as a
        whole."""
        with ACCEPT_SECONDS.time():
            if (earlier_results := await self._find_earlier_results(caller.tenant, send)) is not None:
                return earlier_results, True
            entries = await self._read_entries(caller.tenant, send)
            commands = {
                index: entry.parsed for index, entry in enumerate(entries) if isinstance(entry.parsed, SendCommand)
            }
            await charge_points(len(entries) - 1 + sum(command.copies for command in commands.values()))
            prepared = await self._acceptance.prepare(caller, commands)
            _raise_shared_issues(send, prepared)
            try:
                return await self._store(caller.tenant, send, entries, prepared), False
            except IdempotencyKeyConflict:
                if (earlier_results := await self._find_earlier_results(caller.tenant, send)) is None:
                    raise
                return earlier_results, True

    async def _find_earlier_results(self, tenant: UUID, send: MultiSendCommand) -> list[EntryResult] | None:
        if send.key is None:
            return None
        async with self._database.statement() as session:
            stored = await acceptance.find_results(session, tenant, send.key)
        if stored is None and not await self._acceptance.is_key_held(tenant, send.key):
            return None
        if stored is None or stored.idempotency_hash != send.body_hash:
            raise InvalidInput(KEY_REUSED)
        # A subscriber that was refused had just been erased, and is not named again.
        listed = [] if send.topic is not None else await send.read_entries(None)
        refused = {index: entry.recipient_id for index, entry in enumerate(listed)}
        return [
            EntryResult(
                recipient_id=stored.recipients.get(result["id"]) if "id" in result else refused.get(index),
                result=result,
            )
            for index, result in enumerate(stored.results)
        ]

    async def _read_entries(self, tenant: UUID, send: MultiSendCommand) -> list[RecipientEntry]:
        if send.topic is None:
            return await send.read_entries(None)
        async with self._database.transaction() as session:
            subscribers = await recipients.list_subscribers(session, tenant, send.topic, None, MAX_SUBSCRIBERS + 1)
        if not subscribers:
            raise InvalidInput(NO_SUBSCRIBERS)
        if len(subscribers) > MAX_SUBSCRIBERS:
            raise InvalidInput(TOO_MANY_SUBSCRIBERS)
        return await send.read_entries(subscribers)

    async def _store(
        self,
        tenant: UUID,
        send: MultiSendCommand,
        entries: Sequence[RecipientEntry],
        prepared: Mapping[int, PreparedSend],
    ) -> list[EntryResult]:
        items = [each for each in prepared.values() if isinstance(each, NewNotification)]
        async with self._database.transaction() as session:
            rows = await self._acceptance.store(session, tenant, items)
            send_results = [_entry_result(entry, prepared.get(index), rows) for index, entry in enumerate(entries)]
            results = _stored_results(send_results)
            if any(isinstance(send_result, AcceptedSend) for send_result in send_results):
                await self._hold_key(session, tenant, send, results)
        self._acceptance.announce_accepted(items)
        count_accepted(items, rows)
        return [
            EntryResult(recipient_id=entry.recipient_id, result=result)
            for entry, result in zip(entries, results, strict=True)
        ]

    async def _hold_key(self, session: AsyncSession, tenant: UUID, send: MultiSendCommand, results: list[Json]) -> None:
        """Store the results under the idempotency key, if the send has one."""
        if send.key is None or send.body_hash is None:
            return
        if not await acceptance.store_results(session, tenant, send.key, send.body_hash, results, self._key_window):
            raise IdempotencyKeyConflict


def _raise_shared_issues(send: MultiSendCommand, prepared: Mapping[int, PreparedSend]) -> None:
    """Raise issues of the shared fields: an unknown type, and every issue of a send to a topic."""
    first = next(iter(prepared.values()), None)
    if isinstance(first, list) and (send.topic is not None or first == [UNKNOWN_TYPE]):
        raise InvalidInput(*first)


def _entry_result(
    entry: RecipientEntry, prepared: PreparedSend | None, rows: Mapping[Any, AcceptResult]
) -> SendResult | RejectedItem:
    if isinstance(entry.parsed, RejectedItem):
        return entry.parsed
    entry_result = send_result_of(prepared, rows[prepared.id]) if isinstance(prepared, NewNotification) else prepared
    if entry_result is None:
        raise LookupError("an entry has no result")
    return entry_result


def _stored_results(send_results: Iterable[SendResult | RejectedItem]) -> list[Json]:
    listed = ErrorListing()
    return [
        {"id": str(a.values["id"])} if isinstance(a, AcceptedSend) else listed.error_fields(a) for a in send_results
    ]
