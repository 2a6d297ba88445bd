"""Check a send against its type when it is accepted, and a schedule when it is saved."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from domain.audit import Caller
from domain.channels import Channel
from domain.clock import now
from domain.durations import format_rounded
from domain.notification_types import NotificationType
from domain.templates import TemplateVersion
from domain.time_slices import in_slices
from domain.validation_issues import ValidationIssue, issue_at
from rendering.renderer import Renderer
from rendering.schema_checks import PayloadChecks
from services.send_commands import SendCommand
from storage.catalog import Catalog

UNKNOWN_TYPE = issue_at("/notification_type", "there is no such notification type")


class SendContent(Protocol):
    """The fields that a send and a schedule share."""

    @property
    def channels(self) -> Sequence[Channel] | None: ...

    @property
    def payload(self) -> dict[str, Any]: ...


async def find_schedule_issues(
    catalog: Catalog, renderer: Renderer, caller: Caller, notification_type: str, content: SendContent
) -> list[ValidationIssue]:
    """Return the issues that every send of the schedule would have."""
    current_type = await catalog.current_type(caller.tenant, notification_type)
    if current_type is None:
        return [UNKNOWN_TYPE]
    [found] = await find_send_issues(catalog, renderer, caller, [(current_type, content)])
    return found


async def find_send_issues(
    catalog: Catalog, renderer: Renderer, caller: Caller, sends: Sequence[tuple[NotificationType, SendContent]]
) -> list[list[ValidationIssue]]:
    """Return the issues of each send, in order. All payloads are checked together; one that several sends share is
    checked once."""
    checks = PayloadChecks(renderer, caller.tenant)
    schemas: dict[tuple[UUID, tuple[Channel, ...]], list[dict[str, Any]]] = {}
    first_indexes: dict[tuple[UUID, tuple[Channel, ...], int], int] = {}
    checked_indexes: list[int] = []
    async for index, (notification_type, send) in in_slices(enumerate(sends)):
        check_key = notification_type.id, tuple(send.channels or ())
        if check_key not in schemas:
            schemas[check_key] = [
                template.variables_schema
                for template in await _published_templates(catalog, caller, notification_type, send)
            ]
        checked_indexes.append(first_indexes.setdefault((*check_key, id(send.payload)), index))
        if checked_indexes[index] == index:
            checks.add(index, send.payload, schemas[check_key])
    await checks.run()
    return [
        [*_channel_issues(notification_type, send), *payload_issues(checks, first)]
        for (notification_type, send), first in zip(sends, checked_indexes, strict=True)
    ]


def find_expiry_issues(command: SendCommand, notification_type: NotificationType) -> list[ValidationIssue]:
    """Return an issue if the send would be expired on acceptance. It would end EXPIRED without an attempt."""
    if command.send_at is None:
        return []
    expires_in = notification_type.effective_expires_in(command.expires_in)
    if expires_in is None or (overdue := now() - command.send_at) < expires_in:
        return []
    expiry_field = "expires_in" if command.expires_in is not None else "the type's expires_in"
    return [
        issue_at(
            "/send_at",
            f"is {format_rounded(overdue)} in the past, and {expiry_field} is {format_rounded(expires_in)}: "
            "already expired",
        )
    ]


def payload_issues(checks: PayloadChecks, index: int) -> list[ValidationIssue]:
    return [issue_at(f"/payload{problem.pointer}", problem.detail) for problem in checks.problems.get(index, ())]


def _channel_issues(notification_type: NotificationType, send: SendContent) -> list[ValidationIssue]:
    return [
        issue_at(f"/channels/{index}", "is not on the route of this notification type")
        for index, channel in enumerate(send.channels or [])
        if channel not in notification_type.channels
    ]


async def _published_templates(
    catalog: Catalog, caller: Caller, notification_type: NotificationType, send: SendContent
) -> list[TemplateVersion]:
    """Return the published template in the default language of every channel that may be used. The payload must match
    their schemas."""
    channels = dict.fromkeys(Channel(channel) for channel in send.channels or notification_type.channels)
    languages = [caller.default_language]
    found = [
        await catalog.published(caller.tenant, notification_type.templates.get(channel, ""), channel, languages)
        for channel in channels
    ]
    return [template for template in found if template is not None]
