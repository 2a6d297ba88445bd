"""Accept one request to several recipients. Each recipient gets a notification; one idempotency key covers all of them.
Called by the route of single sends."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import Request

from api.acceptance import (
    KEY_REUSED,
    Acceptance,
    AcceptedSend,
    SendCommand,
    SendResult,
    acceptance_of,
    body_hash_of,
    count_accepted,
    send_result_of,
)
from api.batch_items import ErrorListing, RejectedItem
from api.callers import Caller
from api.problems import ValidationIssue, invalid, issue_at
from api.rate_limits import charge
from api.recipient_entries import RecipientEntry, check_size, read_listed_entries, subscriber_entries
from api.schemas.sends import MAX_SUBSCRIBERS, SendBody, SendEntryResponse
from api.send_checks import UNKNOWN_TYPE
from api.send_statement_groups import SendStatementGroups, announce_accepted
from bootstrap import Container
from domain.json_types import Json
from metrics.sends import ACCEPT_SECONDS
from storage import multi_sends, recipients
from storage.acceptance import AcceptResult, NewNotification

PreparedSends = Mapping[int, NewNotification | list[ValidationIssue]]

NO_SUBSCRIBERS = issue_at("/topic", "has no subscribers")
TOO_MANY_SUBSCRIBERS = issue_at("/topic", f"has more than {MAX_SUBSCRIBERS:,} subscribers, the limit of one send")


class IdempotencyKeyConflict(Exception):
    """Report that a concurrent request with the same idempotency key was first."""


class MultiSends:
    """`charge_points` charges the rate limit for all recipients but the first."""

    def __init__(
        self,
        container: Container,
        statement_groups: SendStatementGroups,
        caller: Caller,
        acceptance: Acceptance,
        charge_points: Callable[[int], Awaitable[None]],
    ) -> None:
        self._container = container
        self._charge_points = charge_points
        self._statement_groups = statement_groups
        self._tenant = caller.tenant
        self._acceptance = acceptance

    async def accept(self, body: SendBody, raw_body: Json, key: str | None) -> tuple[list[SendEntryResponse], bool]:
        """Return the entries of the response, and whether an earlier request created them. `raw_body` is the body as it
        was sent. Raise Problem for issues of the request as a whole."""
        body_hash = body_hash_of(raw_body, key)
        with ACCEPT_SECONDS.time():
            if (earlier_entries := await self._find_earlier_entries(body, key, body_hash)) is not None:
                return earlier_entries, True
            entries = await self._read_entries(body, raw_body)
            await self._charge_points(len(entries) - 1)
            commands = {
                index: entry.parsed for index, entry in enumerate(entries) if isinstance(entry.parsed, SendCommand)
            }
            prepared = await self._acceptance.prepare(commands)
            _raise_shared_issues(body, prepared)
            try:
                return await self._store(entries, prepared, key, body_hash), False
            except IdempotencyKeyConflict:
                if (earlier_entries := await self._find_earlier_entries(body, key, body_hash)) is None:
                    raise
                return earlier_entries, True

    async def _find_earlier_entries(
        self, body: SendBody, key: str | None, body_hash: str | None
    ) -> list[SendEntryResponse] | None:
        if key is None:
            return None
        async with self._container.database.statement() as session:
            stored = await multi_sends.find_results(session, self._tenant, key)
        if stored is None and await self._statement_groups.find_key_holder(self._tenant, key) is None:
            return None
        if stored is None or stored.idempotency_hash != body_hash:
            raise invalid(KEY_REUSED)
        # A subscriber that was refused had just been erased, and is not named again.
        refused = {index: entry.recipient_id for index, entry in enumerate(await read_listed_entries(body))}
        recipient_ids = [
            stored.recipients.get(result["id"]) if "id" in result else refused.get(index)
            for index, result in enumerate(stored.results)
        ]
        return _response_entries(recipient_ids, stored.results)

    async def _read_entries(self, body: SendBody, raw_body: Json) -> list[RecipientEntry]:
        if body.topic is None:
            check_size(raw_body, len(body.recipients or ()))
            return await read_listed_entries(body)
        async with self._container.database.transaction() as session:
            subscriber_ids = await recipients.list_subscribers(
                session, self._tenant, body.topic, None, MAX_SUBSCRIBERS + 1
            )
        if not subscriber_ids:
            raise invalid(NO_SUBSCRIBERS)
        if len(subscriber_ids) > MAX_SUBSCRIBERS:
            raise invalid(TOO_MANY_SUBSCRIBERS)
        check_size(raw_body, len(subscriber_ids))
        return subscriber_entries(body, subscriber_ids)

    async def _store(
        self, entries: Sequence[RecipientEntry], prepared: PreparedSends, key: str | None, body_hash: str | None
    ) -> list[SendEntryResponse]:
        items = [each for each in prepared.values() if isinstance(each, NewNotification)]
        async with self._container.database.transaction() as session:
            rows = await self._acceptance.store(session, items)
            send_results = [_entry_result(entry, prepared.get(index), rows) for index, entry in enumerate(entries)]
            results = _stored_results(send_results)
            if (
                key is not None
                and body_hash is not None
                and any(isinstance(send_result, AcceptedSend) for send_result in send_results)
            ):
                window = self._container.settings.idempotency_window
                if not await multi_sends.store_results(session, self._tenant, key, body_hash, results, window):
                    raise IdempotencyKeyConflict
        announce_accepted(self._container, items)
        count_accepted(items, rows)
        return _response_entries([entry.recipient_id for entry in entries], results)


def multi_sends_of(request: Request) -> MultiSends:
    state = request.app.state
    acceptance = acceptance_of(request)
    return MultiSends(
        state.container, state.send_statement_groups, request.state.caller, acceptance, partial(charge, request)
    )


def _raise_shared_issues(body: SendBody, prepared: PreparedSends) -> None:
    """Raise issues of the shared fields: an unknown type, and every issue of a send to a topic."""
    first = next(iter(prepared.values()), None)
    if isinstance(first, list) and (body.topic is not None or first == [UNKNOWN_TYPE]):
        raise invalid(*first)


def _entry_result(
    entry: RecipientEntry, prepared: NewNotification | list[ValidationIssue] | None, rows: Mapping[Any, AcceptResult]
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


def _response_entries(recipient_ids: Iterable[str | None], results: Iterable[Json]) -> list[SendEntryResponse]:
    """Return the response entries. A result without errors is an id."""
    return [
        SendEntryResponse(index=index, recipient_id=name, **{"status": 202, **result})
        for index, (name, result) in enumerate(zip(recipient_ids, results, strict=True))
    ]
