"""What a send must hold of its type: its channels and its payload. Asked when it is accepted, and when a recurring one
is saved."""

from collections.abc import Sequence
from typing import Any, Protocol

from api.callers import Caller
from api.problems import Fault, at
from bootstrap import Parts
from domain.channels import Channel
from domain.notification_types import NotificationType
from rendering.variables import violations

NO_SUCH_TYPE = at("/notification_type", "there is no such notification type")


class Asked(Protocol):
    """A send or whatever will make some."""

    @property
    def channels(self) -> Sequence[Channel] | None: ...

    @property
    def payload(self) -> dict[str, Any]: ...


async def send_faults(parts: Parts, caller: Caller, kind: NotificationType, asked: Asked) -> list[Fault]:
    return [*_channel_faults(kind, asked), *await _payload_faults(parts, caller, kind, asked)]


def _channel_faults(kind: NotificationType, asked: Asked) -> list[Fault]:
    return [
        at(f"/channels/{index}", "is not on the route of this notification type")
        for index, channel in enumerate(asked.channels or [])
        if channel not in kind.channels
    ]


async def _payload_faults(parts: Parts, caller: Caller, kind: NotificationType, asked: Asked) -> list[Fault]:
    """The published schema in the default language, of every channel that may be used, must hold."""
    faults: dict[tuple[str, str], Fault] = {}
    for channel in asked.channels or kind.channels:
        name = kind.templates.get(Channel(channel), "")
        template = await parts.catalog.published(caller.tenant, name, channel, [caller.default_language])
        for problem in violations(template.variables_schema, asked.payload) if template else []:
            faults[problem.pointer, problem.detail] = at(f"/payload{problem.pointer}", problem.detail)
    return list(faults.values())
