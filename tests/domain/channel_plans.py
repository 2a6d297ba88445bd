"""Plan the channels of a notification, for a recipient with every contact point and a provider for each channel."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitHealth
from domain.messages import ChannelPlan, StepPlan
from domain.notification_types import NotificationType
from domain.preferences import RecipientPreferences
from domain.rates import ProviderRateLimits
from domain.routing import LastAttempt, PoolMember, Router, RoutingRecipient, SkippedChannel
from tests.domain.ledgers import ident

ALL = frozenset({"email", "phone", "webhook_url", "chat_url"})


def pooled(name: str = "sandbox", *kinds: DeviceKind, asked: bool = False) -> PoolMember:
    return PoolMember(
        name=name, timeout=timedelta(seconds=10), device_kinds=frozenset(kinds or DeviceKind), supports_lookup=asked
    )


def person(**more: Any) -> RoutingRecipient:
    return RoutingRecipient(
        **{"known": True, "contacts": ALL, "devices": (), "preferences": RecipientPreferences(), **more}
    )


def planned(
    of: NotificationType,
    who: RoutingRecipient | None = None,
    *,
    pools: dict[Channel, Sequence[PoolMember]] | None = None,
    channels_with_template: frozenset[Channel] = frozenset(Channel),
    chat_rooms: frozenset[str] = frozenset(),
    only: Sequence[Channel] | None = None,
    limits: dict[str, ProviderRateLimits] | None = None,
    last_attempts: dict[tuple[UUID, str], LastAttempt] | None = None,
    healths: dict[str, CircuitHealth] | None = None,
) -> tuple[tuple[StepPlan, ...], list[SkippedChannel]]:
    router = Router(
        notification_id=ident("n"),
        generation=1,
        notification_type=of,
        recipient=who or person(),
        pools=dict.fromkeys(Channel, (pooled(),)) if pools is None else pools,
        channels_with_template=channels_with_template,
        chat_rooms=chat_rooms,
        limits=limits or {},
        last_attempts=last_attempts or {},
        healths=healths or {},
    )
    return router.plan(only)


def sole(*args: Any, **more: Any) -> ChannelPlan:
    [step], skips = planned(*args, **more)
    assert skips == []
    [plan] = step.channels
    return plan


def why_not(*args: Any, **more: Any) -> SkippedChannel:
    steps, [skip] = planned(*args, **more)
    assert steps == ()
    return skip
