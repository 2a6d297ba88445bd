"""The providers of this installation, and in which pools they stand. Built by bootstrap."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from config import Settings
from config_sources import WrongSettings
from domain.channels import Channel
from domain.routing import Pooled
from providers.base import Provider
from providers.registry import PROVIDERS
from providers.tools import Tools

# What the guard and the record around a provider call may take, in seconds.
AROUND_A_CALL = 5.0

Pools = Mapping[Channel, Sequence[Pooled]]


def build_providers(settings: Settings, tools: Tools) -> dict[str, Provider]:
    """Those that some channel's pool names. An unknown name is an error at start, never a silent fallback. Raises
    WrongSettings with what is wrong with all of them."""
    named = {name for channel in Channel for name in settings.pool(channel)}
    providers: dict[str, Provider] = {}
    wrong: list[str] = []
    if unknown := named - set(PROVIDERS):
        wrong.append(f"unknown provider: {', '.join(sorted(unknown))}; there are {', '.join(sorted(PROVIDERS))}")
    for name in sorted(named - unknown):
        try:
            providers[name] = PROVIDERS[name].build(tools)
        except WrongSettings as error:
            wrong += error.lines
    if wrong:
        raise WrongSettings(*wrong)
    return providers


def pools_of(settings: Settings, providers: Mapping[str, Provider]) -> Pools:
    pools = {channel: [providers[name] for name in settings.pool(channel)] for channel in Channel}
    wrong = [
        f"{member.name} cannot deliver on {channel}"
        for channel, members in pools.items()
        for member in members
        if channel not in member.channels
    ]
    if wrong:
        raise WrongSettings(*wrong)
    return {
        channel: [
            _pooled(member, settings.weights(channel)[member.name], settings.rate(member.name)) for member in members
        ]
        for channel, members in pools.items()
    }


def _pooled(provider: Provider, weight: int, rate: float) -> Pooled:
    return Pooled(
        name=provider.name,
        timeout=timedelta(seconds=provider.deadline + AROUND_A_CALL),
        device_kinds=provider.device_kinds,
        can_be_asked=provider.lookup != "none",
        settles_within=timedelta(seconds=provider.settle_window),
        weight=weight,
        rate=rate,
        idempotent=provider.idempotent,
    )
