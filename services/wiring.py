"""Build the services of a process. Called by bootstrap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from config import Settings
from domain.channels import Channel
from domain.routing import PoolMember
from providers.base import Provider
from rendering.renderer import Renderer
from services.acceptance import Acceptance
from services.circuits import CircuitMonitor
from services.delivery_rendering import DeliveryRenderer
from services.dry_runs.predictor import DryRunPredictor
from services.gates import LiveGateChecker
from services.multi_sends import MultiSends
from services.outcome_recording import OutcomeRecorder
from services.planning import NotificationPlanner
from services.route_resolution import RouteResolver
from storage.catalog import Catalog
from storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    planner: NotificationPlanner
    route_resolver: RouteResolver
    delivery_renderer: DeliveryRenderer
    outcome_recorder: OutcomeRecorder


@dataclass(frozen=True, kw_only=True, slots=True)
class SendServices:
    """Hold the services that accept sends. One object per event loop, because concurrent sends share statements."""

    acceptance: Acceptance
    multi_sends: MultiSends
    dry_runs: DryRunPredictor


def build_services(
    database: Database,
    catalog: Catalog,
    renderer: Renderer,
    providers: Mapping[str, Provider],
    pools: Mapping[Channel, Sequence[PoolMember]],
    circuits: CircuitMonitor,
    secret: bytes,
) -> Services:
    """Build the services. `secret` is the key of the hashes that identify digests."""
    route_resolver = RouteResolver(database, catalog, pools, circuits)
    delivery_renderer = DeliveryRenderer(database, catalog, renderer)
    gates = LiveGateChecker(database, secret)
    return Services(
        planner=NotificationPlanner(database, catalog, gates, route_resolver, delivery_renderer),
        route_resolver=route_resolver,
        delivery_renderer=delivery_renderer,
        outcome_recorder=OutcomeRecorder(database, providers),
    )


def build_send_services(
    services: Services,
    database: Database,
    catalog: Catalog,
    renderer: Renderer,
    providers: Mapping[str, Provider],
    circuits: CircuitMonitor,
    settings: Settings,
    announce: Callable[[str], None],
) -> SendServices:
    """Build the services that accept sends. `announce` wakes the dispatchers for a kind of due work."""
    acceptance = Acceptance(database, catalog, renderer, settings, announce)
    return SendServices(
        acceptance=acceptance,
        multi_sends=MultiSends(database, acceptance, settings.idempotency_window),
        dry_runs=DryRunPredictor(
            acceptance,
            database,
            catalog,
            circuits,
            providers,
            services.route_resolver,
            services.delivery_renderer,
            settings.secret,
        ),
    )
