"""Accept sends and insert their notifications. A repeated request returns the same notification; an invalid one inserts
no row. Called by the routes of sends."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from config import Settings
from domain.audit import Caller
from domain.digests import digest_key_of
from domain.json_types import Json
from domain.names import COLLECT_DUE, QUEUE_DUE
from domain.notification_types import NotificationType
from domain.stored_limits import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_VALUES
from domain.validation_issues import ValidationIssue, issue_at
from metrics.sends import ACCEPT_SECONDS, ACCEPTED
from models.columns import new_id
from rendering.renderer import Renderer
from services.contact_rules import ContactRules
from services.email_attachments import attachment_ids_of, find_attachment_issues, record_attachment_uses
from services.inline_emails import INLINE_TYPE, ensure_inline_type
from services.send_checks import UNKNOWN_TYPE, find_expiry_issues, find_send_issues
from services.send_commands import AcceptedSend, SendCommand, SendResult
from services.statement_groups import SendStatementGroups
from storage import reconsiderations
from storage.acceptance import AcceptResult, NewNotification, accept, find_key_holders
from storage.catalog import Catalog
from storage.database import Database

PreparedSend = NewNotification | list[ValidationIssue]

KEY_REUSED = issue_at("", "the idempotency key was already used with another body")
UNKNOWN_RECIPIENT = "there is no such recipient; PUT it first, or give the profile inline as `recipient`"
ATTRIBUTES_TOO_LARGE = (
    f"the recipient would have more than {MAX_ATTRIBUTE_BYTES} bytes or {MAX_ATTRIBUTE_VALUES} JSON values of "
    "attributes"
)


class Acceptance:
    """Accept the sends of all callers. `announce` wakes the dispatchers for a kind of due work."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        renderer: Renderer,
        settings: Settings,
        announce: Callable[[str], None],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._renderer = renderer
        self._settings = settings
        self._announce = announce
        self._statement_groups = SendStatementGroups(database, settings.idempotency_window, self.announce_accepted)

    async def accept(self, caller: Caller, commands: Sequence[SendCommand]) -> list[SendResult]:
        """Return one result for each command, in order. Keys are looked up first, so that a replay works after its type
        was deleted."""
        with ACCEPT_SECONDS.time():
            results = await self.find_replays(caller.tenant, commands)
            prepared = await self.prepare(
                caller, {index: command for index, command in enumerate(commands) if index not in results}
            )
            new = {index: each for index, each in prepared.items() if isinstance(each, NewNotification)}
            results |= {index: each for index, each in prepared.items() if not isinstance(each, NewNotification)}
            if new:
                results |= await self._insert_new(caller.tenant, commands, new)
            return [results[index] for index in range(len(commands))]

    async def find_replays(self, tenant: UUID, commands: Sequence[SendCommand]) -> dict[int, SendResult]:
        """Return the results of commands whose key an earlier request holds, by index."""
        keys = [command.key for command in commands if command.key is not None]
        replays = await self._find_key_holders(tenant, keys) if keys else {}
        return {
            index: _replay(command, replays[command.key])
            for index, command in enumerate(commands)
            if command.key is not None and command.key in replays
        }

    async def is_key_held(self, tenant: UUID, key: str) -> bool:
        return bool(await self._find_key_holders(tenant, [key]))

    async def _find_key_holders(self, tenant: UUID, keys: list[str]) -> dict[str, Json]:
        if len(keys) == 1:
            row = await self._statement_groups.find_key_holder(tenant, keys[0])
            return {} if row is None else {keys[0]: row}
        async with self._database.transaction() as session:
            return await find_key_holders(session, tenant, keys, self._settings.idempotency_window)

    async def prepare(self, caller: Caller, commands: Mapping[int, SendCommand]) -> dict[int, PreparedSend]:
        """Check all commands together. Return a row to insert or the issues of each. Idempotency keys are not looked
        up."""
        if any(command.notification_type == INLINE_TYPE for command in commands.values()):
            await ensure_inline_type(self._database, self._catalog, caller.tenant, caller.default_language)
        types = {
            key: await self._catalog.current_type(caller.tenant, key)
            for key in {command.notification_type for command in commands.values()}
        }
        sends = [
            (found, command) for command in commands.values() if (found := types[command.notification_type]) is not None
        ]
        found_issues = iter(await find_send_issues(self._catalog, self._renderer, caller, sends))
        attachment_issues = await find_attachment_issues(self._database, caller.tenant, commands)
        rules = ContactRules.of(self._settings, caller)
        return {
            index: [UNKNOWN_TYPE]
            if (notification_type := types[command.notification_type]) is None
            else next(found_issues)
            + _find_other_issues(rules, command, notification_type)
            + attachment_issues.get(index, [])
            or self._new_notification(caller.tenant, command, notification_type)
            for index, command in commands.items()
        }

    def _new_notification(
        self, tenant: UUID, command: SendCommand, notification_type: NotificationType
    ) -> NewNotification:
        return NewNotification(
            id=new_id(),
            recipient_id=command.recipient_id,
            profile=command.profile,
            notification_type=notification_type.key,
            type_id=notification_type.id,
            event_payload=command.payload,
            priority=command.priority or notification_type.priority,
            channels=None if command.channels is None else [str(channel) for channel in command.channels],
            tags=tuple(command.tags),
            idempotency_key=command.key,
            idempotency_hash=command.body_hash,
            send_at=command.send_at,
            expires_in=notification_type.effective_expires_in(command.expires_in),
            cancel_key=command.cancel_key,
            email_options=command.email_options,
            digest_key=self._digest_key(tenant, command, notification_type)
            if notification_type.timing.collects
            else None,
        )

    def _digest_key(self, tenant: UUID, command: SendCommand, notification_type: NotificationType) -> str:
        return digest_key_of(
            self._settings.secret, tenant, notification_type, command.recipient_id, command.payload, command.channels
        )

    async def _store_new(self, tenant: UUID, items: list[NewNotification]) -> Mapping[UUID, AcceptResult]:
        if len(items) == 1 and items[0].profile is None and not attachment_ids_of(items[0].email_options):
            return {items[0].id: await self._statement_groups.insert(tenant, items[0])}
        async with self._database.transaction() as session:
            rows = await self.store(session, tenant, items)
        self.announce_accepted(items)
        return rows

    async def store(
        self, session: AsyncSession, tenant: UUID, items: list[NewNotification]
    ) -> Mapping[UUID, AcceptResult]:
        """Insert the notifications. The caller commits and then announces them."""
        zones = {item.recipient_id: item.profile.get("timezone") for item in items if item.profile}
        changes = await reconsiderations.find_timezone_changes(session, tenant, zones)
        rows = await accept(session, tenant, items, notify=False)
        await record_attachment_uses(session, tenant, items, rows)
        if changes:
            await reconsiderations.apply_timezone_changes(session, tenant, changes)
        return rows

    def announce_accepted(self, items: Sequence[NewNotification]) -> None:
        """Wake the dispatchers for committed notifications."""
        for due in {QUEUE_DUE if item.digest_key is None else COLLECT_DUE for item in items}:
            self._announce(due)

    async def _insert_new(
        self, tenant: UUID, commands: Sequence[SendCommand], new: dict[int, NewNotification]
    ) -> dict[int, SendResult]:
        rows = await self._store_new(tenant, list(new.values()))
        count_accepted(new.values(), rows)
        new_results = {index: send_result_of(item, rows[item.id]) for index, item in new.items()}
        results = {index: new_result for index, new_result in new_results.items() if new_result is not None}
        conflicting = [index for index, item in new.items() if rows[item.id].created_at is None]
        return results | await self._find_concurrent_duplicates(tenant, commands, conflicting)

    async def _find_concurrent_duplicates(
        self, tenant: UUID, commands: Sequence[SendCommand], conflicting: list[int]
    ) -> dict[int, SendResult]:
        """Find replays of a request that inserted the same key between our lookup and our INSERT. The INSERT waited for
        its commit."""
        replays = await self.find_replays(tenant, [commands[index] for index in conflicting])
        return {conflicting[position]: result for position, result in replays.items()}


def _find_other_issues(
    rules: ContactRules, command: SendCommand, notification_type: NotificationType
) -> list[ValidationIssue]:
    """Return the issues of the recipient, the email options and the expiry."""
    issues: list[ValidationIssue] = []
    if command.profile is not None:
        found = rules.find_profile_issues(command.profile, "recipient")
        issues += [issue_at("/content/to", each["detail"]) for each in found] if command.is_inline else found
    if command.email_options is not None:
        issues += rules.find_email_issues(command.email_options, notification_type)
    return issues + find_expiry_issues(command, notification_type)


def send_result_of(item: NewNotification, row: AcceptResult) -> SendResult | None:
    """Return the result of an inserted row, or None if another notification has its key."""
    if row.created_at is not None:
        return AcceptedSend(values=_response_values(item, row), replayed=False)
    if row.attributes_too_large:
        return [issue_at("/recipient/attributes", ATTRIBUTES_TOO_LARGE)]
    return None if row.known_recipient else [issue_at("/recipient_id", UNKNOWN_RECIPIENT)]


def count_accepted(items: Iterable[NewNotification], rows: Mapping[UUID, AcceptResult]) -> None:
    for priority, count in Counter(item.priority for item in items if rows[item.id].created_at is not None).items():
        ACCEPTED.labels(str(priority)).inc(count)


def _replay(command: SendCommand, row: Json) -> SendResult:
    if row["idempotency_hash"] != command.body_hash:
        return [KEY_REUSED]
    return AcceptedSend(values={name: row[name] for name in RESPONSE_FIELDS}, replayed=True)


RESPONSE_FIELDS = ("id", "notification_type", "recipient_id", "priority", "created_at", "send_at", "expires_at")


def _response_values(item: NewNotification, row: AcceptResult) -> Json:
    return {
        "id": item.id,
        "notification_type": item.notification_type,
        "recipient_id": item.recipient_id,
        "priority": item.priority,
        "created_at": row.created_at,
        "send_at": item.send_at,
        "expires_at": row.expires_at,
    }
