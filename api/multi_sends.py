"""Sends of one request to several recipients: each becomes a notification of its own, and one idempotency key holds for
all of them. Called by the route of single sends."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import Request

from api.acceptance import (
    KEY_REUSED,
    Acceptance,
    Answer,
    Ask,
    Taken,
    acceptance_of,
    count_accepted,
    digest_of,
    outcome_of,
)
from api.batch_items import ListedErrors, Refusal
from api.callers import Caller
from api.problems import Fault, at, invalid
from api.rate_limits import charge
from api.recipient_entries import RecipientEntry, check_size, listed_entries, subscriber_entries
from api.schemas.sends import MOST_SUBSCRIBERS, SendBody, SentEntry
from api.send_checks import NO_SUCH_TYPE
from api.send_groups import SendGroups, announce
from bootstrap import Parts
from metrics.sends import ACCEPT_SECONDS
from storage import multi_sends, topics
from storage.acceptance import Accepted, NewNotification

Json = dict[str, Any]
Prepared = Mapping[int, NewNotification | list[Fault]]

NO_SUBSCRIBERS = at("/topic", "has no subscribers")
TOO_MANY = at("/topic", f"has more than {MOST_SUBSCRIBERS:,} subscribers, the limit of one send")


class KeyTaken(Exception):
    """A concurrent request with the same idempotency key was first."""


class MultiSends:
    """`charge_points` counts the work of all recipients but the first."""

    def __init__(
        self,
        parts: Parts,
        groups: SendGroups,
        caller: Caller,
        acceptance: Acceptance,
        charge_points: Callable[[int], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._charge_points = charge_points
        self._groups = groups
        self._tenant = caller.tenant
        self._acceptance = acceptance

    async def accept(self, body: SendBody, given: Json, key: str | None) -> tuple[list[SentEntry], bool]:
        """The entries of the response, and whether they are those of an earlier request. `given` is the body as it was
        sent. Raises Problem for what is wrong with the request as a whole."""
        digest = digest_of(given, key)
        with ACCEPT_SECONDS.time():
            if (earlier := await self._earlier(body, key, digest)) is not None:
                return earlier, True
            entries = await self._entries(body, given)
            await self._charge_points(len(entries) - 1)
            asks = {index: entry.read for index, entry in enumerate(entries) if isinstance(entry.read, Ask)}
            prepared = await self._acceptance.prepare(asks)
            _refuse_whole(body, prepared)
            try:
                return await self._store(entries, prepared, key, digest), False
            except KeyTaken:
                if (earlier := await self._earlier(body, key, digest)) is None:
                    raise
                return earlier, True

    async def _earlier(self, body: SendBody, key: str | None, digest: str | None) -> list[SentEntry] | None:
        if key is None:
            return None
        async with self._parts.database.statement() as session:
            kept = await multi_sends.find(session, self._tenant, key)
        if kept is None and await self._groups.held_key(self._tenant, key) is None:
            return None
        if kept is None or kept.idempotency_hash != digest:
            raise invalid(KEY_REUSED)
        # A subscriber who was refused had just been erased, and is not named again.
        refused = {index: entry.recipient_id for index, entry in enumerate(await listed_entries(body))}
        names = [
            kept.recipients.get(result["id"]) if "id" in result else refused.get(index)
            for index, result in enumerate(kept.results)
        ]
        return _shown(names, kept.results)

    async def _entries(self, body: SendBody, given: Json) -> list[RecipientEntry]:
        if body.topic is None:
            check_size(given, len(body.recipients or ()))
            return await listed_entries(body)
        async with self._parts.database.transaction() as session:
            found = await topics.subscribers(session, self._tenant, body.topic, None, MOST_SUBSCRIBERS + 1)
        if not found:
            raise invalid(NO_SUBSCRIBERS)
        if len(found) > MOST_SUBSCRIBERS:
            raise invalid(TOO_MANY)
        check_size(given, len(found))
        return subscriber_entries(body, found)

    async def _store(
        self, entries: Sequence[RecipientEntry], prepared: Prepared, key: str | None, digest: str | None
    ) -> list[SentEntry]:
        items = [each for each in prepared.values() if isinstance(each, NewNotification)]
        async with self._parts.database.transaction() as session:
            rows = await self._acceptance.store(session, items)
            answers = [_answer(entry, prepared.get(index), rows) for index, entry in enumerate(entries)]
            results = _results(answers)
            if key is not None and digest is not None and any(isinstance(answer, Taken) for answer in answers):
                window = self._parts.settings.idempotency_window
                if not await multi_sends.keep(session, self._tenant, key, digest, results, window):
                    raise KeyTaken
        announce(self._parts, items)
        count_accepted(items, rows)
        return _shown([entry.recipient_id for entry in entries], results)


def multi_sends_of(request: Request) -> MultiSends:
    state = request.app.state
    acceptance = acceptance_of(request)
    return MultiSends(state.parts, state.send_groups, request.state.caller, acceptance, partial(charge, request))


def _refuse_whole(body: SendBody, prepared: Prepared) -> None:
    """Raise what is wrong with the fields that all share: the type, and of a topic everything."""
    first = next(iter(prepared.values()), None)
    if isinstance(first, list) and (body.topic is not None or first == [NO_SUCH_TYPE]):
        raise invalid(*first)


def _answer(
    entry: RecipientEntry, prepared: NewNotification | list[Fault] | None, rows: Mapping[Any, Accepted]
) -> Answer | Refusal:
    if isinstance(entry.read, Refusal):
        return entry.read
    outcome = outcome_of(prepared, rows[prepared.id]) if isinstance(prepared, NewNotification) else prepared
    if outcome is None:
        raise LookupError("an entry without an answer")
    return outcome


def _results(answers: Iterable[Answer | Refusal]) -> list[Json]:
    listed = ListedErrors()
    return [{"id": str(a.values["id"])} if isinstance(a, Taken) else listed.refused(a) for a in answers]


def _shown(names: Iterable[str | None], results: Iterable[Json]) -> list[SentEntry]:
    """A result without errors is an id."""
    return [
        SentEntry(index=index, recipient_id=name, **{"status": 202, **result})
        for index, (name, result) in enumerate(zip(names, results, strict=True))
    ]
