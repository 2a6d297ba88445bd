"""Build the services of a process. Called by bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.channels import Channel
from domain.routing import PoolMember
from providers.base import Provider
from rendering.renderer import Renderer
from services.circuits import CircuitMonitor
from services.delivery_rendering import DeliveryRenderer
from services.gates import LiveGateChecker
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


def build_services(
    database: Database,
    catalog: Catalog,
    renderer: Renderer,
    providers: Mapping[str, Provider],
    pools: Mapping[Channel, Sequence[PoolMember]],
    circuits: CircuitMonitor,
    secret: bytes,
) -> Services:
    """Build the services. `secret` keys the digest keys."""
    route_resolver = RouteResolver(database, catalog, pools, circuits)
    delivery_renderer = DeliveryRenderer(database, catalog, renderer)
    gates = LiveGateChecker(database, secret)
    return Services(
        planner=NotificationPlanner(database, catalog, gates, route_resolver, delivery_renderer),
        route_resolver=route_resolver,
        delivery_renderer=delivery_renderer,
        outcome_recorder=OutcomeRecorder(database, providers),
    )
