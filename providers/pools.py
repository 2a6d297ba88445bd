"""Build the providers of this installation and the pools that they belong to. Called by bootstrap."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from config import Settings
from config.sources import InvalidSettings
from domain.channels import Channel
from domain.routing import PoolMember
from providers.base import Provider
from providers.context import ProviderContext
from providers.registry import available_providers

# Seconds that the checks and the recording around a provider call may take.
CALL_OVERHEAD = 5.0

Pools = Mapping[Channel, Sequence[PoolMember]]


def build_providers(settings: Settings, context: ProviderContext) -> dict[str, Provider]:
    """Build the providers that the pool of some channel names.

    An unknown name is an error at start, never a silent fallback. Raises InvalidSettings with the errors of all
    providers.
    """
    named = {name for channel in Channel for name in settings.pool(channel)}
    providers: dict[str, Provider] = {}
    errors: list[str] = []
    available = available_providers()
    if unknown := named - set(available):
        errors.append(
            f"unknown provider: {', '.join(sorted(unknown))}; known providers: {', '.join(sorted(available))}"
        )
    for name in sorted(named - unknown):
        try:
            providers[name] = available[name].build(context)
        except InvalidSettings as error:
            errors += error.lines
    if errors:
        raise InvalidSettings(*errors)
    return providers


def build_pools(settings: Settings, providers: Mapping[str, Provider]) -> Pools:
    pools = {channel: [providers[name] for name in settings.pool(channel)] for channel in Channel}
    errors = [
        f"{member.name} cannot deliver on {channel}"
        for channel, members in pools.items()
        for member in members
        if channel not in member.channels
    ]
    if errors:
        raise InvalidSettings(*errors)
    return {
        channel: [
            _build_pooled(member, settings.weights(channel)[member.name], settings.rate(member.name))
            for member in members
        ]
        for channel, members in pools.items()
    }


def _build_pooled(provider: Provider, weight: int, rate: float) -> PoolMember:
    return PoolMember(
        name=provider.name,
        timeout=timedelta(seconds=provider.deadline + CALL_OVERHEAD),
        device_kinds=provider.device_kinds,
        supports_lookup=provider.lookup != "none",
        settles_within=timedelta(seconds=provider.settle_window),
        weight=weight,
        rate=rate,
        idempotent=provider.idempotent,
        idempotency_window=provider.idempotency_window,
    )
