"""What a send must hold of its type: its channels and its payload. Asked when it is accepted, and when a recurring one
is saved."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from api.callers import Caller
from api.problems import Fault, at
from api.schemas.sends import SendRequest
from bootstrap import Parts
from domain.channels import Channel
from domain.clock import now
from domain.durations import shortened
from domain.notification_types import NotificationType
from domain.templates import TemplateVersion
from domain.time_slices import in_slices
from rendering.schema_checks import PayloadChecks

NO_SUCH_TYPE = at("/notification_type", "there is no such notification type")


class Asked(Protocol):
    """A send or whatever will make some."""

    @property
    def channels(self) -> Sequence[Channel] | None: ...

    @property
    def payload(self) -> dict[str, Any]: ...


async def send_faults(
    parts: Parts, caller: Caller, sends: Sequence[tuple[NotificationType, Asked]]
) -> list[list[Fault]]:
    """Of each send, in their order; the payloads of all of them are checked together, and one that several sends share
    is checked once."""
    checks = PayloadChecks(parts.renderer, caller.tenant)
    known: dict[tuple[UUID, tuple[Channel, ...]], list[dict[str, Any]]] = {}
    checked: dict[tuple[UUID, tuple[Channel, ...], int], int] = {}
    same: list[int] = []
    async for index, (kind, asked) in in_slices(enumerate(sends)):
        case = kind.id, tuple(asked.channels or ())
        if case not in known:
            known[case] = [template.variables_schema for template in await _templates(parts, caller, kind, asked)]
        same.append(checked.setdefault((*case, id(asked.payload)), index))
        if same[index] == index:
            checks.add(index, asked.payload, known[case])
    await checks.run()
    return [
        [*_channel_faults(kind, asked), *payload_faults(checks, first)]
        for (kind, asked), first in zip(sends, same, strict=True)
    ]


def expiry_faults(request: SendRequest, kind: NotificationType) -> list[Fault]:
    """A notification whose time is over when it is accepted would end EXPIRED without any attempt."""
    lifetime = kind.worthless_after(request.lifetime)
    if request.send_at is None or lifetime is None or (past := now() - request.send_at) < lifetime:
        return []
    given = "expires_in" if request.lifetime is not None else "the type's expires_in"
    return [at("/send_at", f"is {shortened(past)} in the past, and {given} is {shortened(lifetime)}: it has expired")]


def payload_faults(checks: PayloadChecks, index: int) -> list[Fault]:
    return [at(f"/payload{problem.pointer}", problem.detail) for problem in checks.problems.get(index, ())]


def _channel_faults(kind: NotificationType, asked: Asked) -> list[Fault]:
    return [
        at(f"/channels/{index}", "is not on the route of this notification type")
        for index, channel in enumerate(asked.channels or [])
        if channel not in kind.channels
    ]


async def _templates(parts: Parts, caller: Caller, kind: NotificationType, asked: Asked) -> list[TemplateVersion]:
    """Published in the default language, of every channel that may be used: their schemas must hold."""
    channels = dict.fromkeys(Channel(channel) for channel in asked.channels or kind.channels)
    languages = [caller.default_language]
    found = [
        await parts.catalog.published(caller.tenant, kind.templates.get(channel, ""), channel, languages)
        for channel in channels
    ]
    return [template for template in found if template is not None]
