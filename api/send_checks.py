"""Check channels and payload of a send against its type, when it is accepted and when a schedule is saved."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from api.callers import Caller
from api.problems import ValidationIssue, issue_at
from api.schemas.sends import SendRequest
from bootstrap import Container
from domain.channels import Channel
from domain.clock import now
from domain.durations import format_rounded
from domain.notification_types import NotificationType
from domain.templates import TemplateVersion
from domain.time_slices import in_slices
from rendering.schema_checks import PayloadChecks

UNKNOWN_TYPE = issue_at("/notification_type", "there is no such notification type")


class SendContent(Protocol):
    """The fields that a send and a schedule share."""

    @property
    def channels(self) -> Sequence[Channel] | None: ...

    @property
    def payload(self) -> dict[str, Any]: ...


async def find_send_issues(
    container: Container, caller: Caller, sends: Sequence[tuple[NotificationType, SendContent]]
) -> list[list[ValidationIssue]]:
    """Return the issues of each send, in order. All payloads are checked together; one that several sends share is
    checked once."""
    checks = PayloadChecks(container.renderer, caller.tenant)
    schemas: dict[tuple[UUID, tuple[Channel, ...]], list[dict[str, Any]]] = {}
    first_indexes: dict[tuple[UUID, tuple[Channel, ...], int], int] = {}
    checked_indexes: list[int] = []
    async for index, (notification_type, send) in in_slices(enumerate(sends)):
        check_key = notification_type.id, tuple(send.channels or ())
        if check_key not in schemas:
            schemas[check_key] = [
                template.variables_schema
                for template in await _published_templates(container, caller, notification_type, send)
            ]
        checked_indexes.append(first_indexes.setdefault((*check_key, id(send.payload)), index))
        if checked_indexes[index] == index:
            checks.add(index, send.payload, schemas[check_key])
    await checks.run()
    return [
        [*_channel_issues(notification_type, send), *payload_issues(checks, first)]
        for (notification_type, send), first in zip(sends, checked_indexes, strict=True)
    ]


def find_expiry_issues(request: SendRequest, notification_type: NotificationType) -> list[ValidationIssue]:
    """Return an issue if the send would be expired on acceptance. It would end EXPIRED without an attempt."""
    expires_in = notification_type.effective_expires_in(request.expires_in_duration)
    if request.send_at is None or expires_in is None or (overdue := now() - request.send_at) < expires_in:
        return []
    expiry_field = "expires_in" if request.expires_in_duration is not None else "the type's expires_in"
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
    container: Container, caller: Caller, notification_type: NotificationType, send: SendContent
) -> list[TemplateVersion]:
    """Return the published template in the default language of every channel that may be used. The payload must match
    their schemas."""
    channels = dict.fromkeys(Channel(channel) for channel in send.channels or notification_type.channels)
    languages = [caller.default_language]
    found = [
        await container.catalog.published(
            caller.tenant, notification_type.templates.get(channel, ""), channel, languages
        )
        for channel in channels
    ]
    return [template for template in found if template is not None]
