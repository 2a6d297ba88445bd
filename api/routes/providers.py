"""Providers: how they are doing, and holding their messages back."""

from fastapi import APIRouter

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.schemas.providers import Capabilities, HealthView, Providers, ProviderView
from bootstrap import Parts
from domain.channels import Channel
from domain.circuits import CircuitState, Health, weights
from domain.holds import HoldKind
from providers.base import Provider
from storage import holds, provider_health

router = APIRouter(prefix="/providers", tags=["providers"], route_class=FrontDoor)


@router.get("")
@scope("read")
async def list_providers(caller: CallerDep, parts: PartsDep) -> Providers:
    """Those that some channel's pool names, by name."""
    async with parts.database.transaction() as session:
        healths = await provider_health.read_all(session)
        paused = await holds.paused_names(session, caller.tenant, HoldKind.PROVIDER)
    return Providers(
        items=[_view(parts, provider, healths, name in paused) for name, provider in sorted(parts.providers.items())]
    )


def _view(parts: Parts, provider: Provider, healths: dict[str, Health], paused: bool) -> ProviderView:
    shares = {channel: weights(parts.settings.weights(channel), healths) for channel in Channel}
    return ProviderView(
        name=provider.name,
        channels=sorted(provider.channels),
        capabilities=Capabilities.model_validate(
            {
                "lookup": provider.lookup,
                "receipts": provider.parses_receipts,
                "device_kinds": sorted(provider.device_kinds),
            }
        ),
        health=_health(healths.get(provider.name)),
        weights={channel: share[provider.name] for channel, share in shares.items() if provider.name in share},
        rate=parts.settings.rate(provider.name) or None,
        paused=paused,
    )


def _health(health: Health | None) -> HealthView:
    if health is None:
        return HealthView(state=CircuitState.CLOSED, reason=None, since=None, probe_at=None)
    return HealthView(state=health.state, reason=health.reason, since=health.changed_at, probe_at=health.probe_at)
