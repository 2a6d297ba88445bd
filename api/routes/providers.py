"""Providers: how they are doing, and how many calls they get."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api import auditing
from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import not_found
from api.schemas.providers import Capabilities, HealthView, ProviderChanges, Providers, ProviderView
from bootstrap import Parts
from domain.channels import Channel
from domain.circuits import CircuitState, Health, weights
from domain.clock import now
from domain.holds import HoldKind
from domain.rates import UNSET, Limits
from providers.base import Provider
from storage import holds, provider_health, provider_limits

router = APIRouter(prefix="/providers", tags=["providers"], route_class=FrontDoor)


@router.get("")
@scope("read")
async def list_providers(caller: CallerDep, parts: PartsDep) -> Providers:
    """Those that some channel's pool names, by name."""
    async with parts.database.transaction() as session:
        known = await _read(session, caller)
    return Providers(items=[_view(parts, provider, known) for _, provider in sorted(parts.providers.items())])


@router.patch("/{name}")
@scope("operate")
async def patch_provider(name: str, changes: ProviderChanges, caller: CallerDep, parts: PartsDep) -> ProviderView:
    """How many calls it gets, for all tenants. Merges (RFC 7396); null is what the settings say; in force at once."""
    provider = known_provider(parts, name)
    async with parts.database.transaction() as session:
        before = (await provider_limits.read_all(session)).get(name, UNSET)
        after = await provider_limits.change(session, name, changes.model_dump(exclude_unset=True))
        await auditing.note(session, caller, "provider.changed", f"provider/{name}", asdict(before), asdict(after))
        return _view(parts, provider, await _read(session, caller))


def known_provider(parts: Parts, name: str) -> Provider:
    if name not in parts.providers:
        raise not_found("There is no such provider in any pool.")
    return parts.providers[name]


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Of all providers; `paused` are those that the caller's tenant has paused."""

    healths: Mapping[str, Health]
    limits: Mapping[str, Limits]
    paused: set[str]


async def _read(session: AsyncSession, caller: Caller) -> _Known:
    return _Known(
        healths=await provider_health.read_all(session),
        limits=await provider_limits.read_all(session),
        paused=await holds.paused_names(session, caller.tenant, HoldKind.PROVIDER),
    )


def _view(parts: Parts, provider: Provider, known: _Known) -> ProviderView:
    shares = {channel: weights(parts.settings.weights(channel), known.healths) for channel in Channel}
    limits = known.limits.get(provider.name, UNSET).over(parts.settings.rate(provider.name))
    health = known.healths.get(provider.name)
    return ProviderView(
        name=provider.name,
        channels=sorted(provider.channels),
        capabilities=Capabilities.model_validate(
            {
                "lookup": "none" if health is not None and health.lookup_refused else provider.lookup,
                "receipts": provider.parses_receipts,
                "device_kinds": sorted(provider.device_kinds),
            }
        ),
        health=_health(health),
        weights={channel: share[provider.name] for channel, share in shares.items() if provider.name in share},
        rate=limits.rate,
        tenant_rate=limits.tenant_rate,
        paused=provider.name in known.paused,
    )


def _health(health: Health | None) -> HealthView:
    if health is None:
        return HealthView(state=CircuitState.CLOSED, reason=None, since=None, probe_at=None, quiet_until=None)
    return HealthView(
        state=health.state,
        reason=health.reason,
        since=health.changed_at,
        probe_at=health.probe_at,
        quiet_until=health.quiet_until if health.is_quiet(now()) else None,
    )
