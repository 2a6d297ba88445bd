"""Routes of providers: their health and rate limits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.problems import not_found
from api.schemas.providers import Capabilities, HealthView, ProviderChanges, ProviderList, ProviderView
from bootstrap import Container
from domain.audit import Caller
from domain.channels import Channel
from domain.circuits import CircuitHealth, CircuitState, traffic_shares
from domain.clock import now
from domain.durations import format_exact
from domain.holds import HoldKind
from domain.rates import NO_RATE_LIMITS, ProviderRateLimits
from providers.base import Provider
from storage import audit, holds, provider_health

router = APIRouter(prefix="/providers", tags=["providers"], route_class=AuthenticatedRoute)


@router.get("")
@scope("read")
async def list_providers(caller: CallerDep, container: ContainerDep) -> ProviderList:
    """List the providers of all channel pools, by name."""
    async with container.database.transaction() as session:
        states = await _read_states(session, caller)
    return ProviderList(
        items=[_view(container, provider, states) for _, provider in sorted(container.providers.items())]
    )


@router.patch("/{name}")
@scope("operate")
async def patch_provider(
    name: str, changes: ProviderChanges, caller: CallerDep, container: ContainerDep
) -> ProviderView:
    """Set a provider's rate limits for all tenants. Merges (RFC 7396); null restores the configured value."""
    provider = get_provider(container, name)
    async with container.database.transaction() as session:
        before = (await provider_health.read_limits(session)).get(name, NO_RATE_LIMITS)
        after = await provider_health.update_limits(session, name, changes.model_dump(exclude_unset=True))
        await audit.record_change(
            session, caller.change("provider.changed", f"provider/{name}", asdict(before), asdict(after))
        )
        return _view(container, provider, await _read_states(session, caller))


def get_provider(container: Container, name: str) -> Provider:
    if name not in container.providers:
        raise not_found("There is no such provider in any pool.")
    return container.providers[name]


@dataclass(frozen=True, kw_only=True)
class _ProviderStates:
    """States of all providers. `paused` holds those that the caller's tenant has paused."""

    healths: Mapping[str, CircuitHealth]
    limits: Mapping[str, ProviderRateLimits]
    paused: set[str]


async def _read_states(session: AsyncSession, caller: Caller) -> _ProviderStates:
    return _ProviderStates(
        healths=await provider_health.read_health(session),
        limits=await provider_health.read_limits(session),
        paused=await holds.list_paused_names(session, caller.tenant, HoldKind.PROVIDER),
    )


def _view(container: Container, provider: Provider, states: _ProviderStates) -> ProviderView:
    shares = {channel: traffic_shares(container.settings.weights(channel), states.healths) for channel in Channel}
    limits = states.limits.get(provider.name, NO_RATE_LIMITS).effective(container.settings.rate(provider.name))
    health = states.healths.get(provider.name)
    return ProviderView(
        name=provider.name,
        channels=sorted(provider.channels),
        capabilities=Capabilities.model_validate(
            {
                "lookup": "none" if health is not None and health.lookup_refused else provider.lookup,
                "idempotency_window": format_exact(window) if (window := provider.idempotency_window) else None,
                "receipts": provider.parses_receipts(),
                "device_kinds": sorted(provider.device_kinds),
            }
        ),
        health=_health_view(health),
        weights={channel: share[provider.name] for channel, share in shares.items() if provider.name in share},
        rate=limits.rate,
        tenant_rate=limits.tenant_rate,
        paused=provider.name in states.paused,
    )


def _health_view(health: CircuitHealth | None) -> HealthView:
    if health is None:
        return HealthView(state=CircuitState.CLOSED, reason=None, since=None, probe_at=None, throttled_until=None)
    return HealthView(
        state=health.state,
        reason=health.reason,
        since=health.changed_at,
        probe_at=health.probe_at,
        throttled_until=health.throttled_until if health.is_throttled(now()) else None,
    )
