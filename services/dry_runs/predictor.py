"""Predict a send without storing it: `POST /notifications/send` with `dry_run`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from domain.audit import Caller
from domain.forecasts import Forecast
from domain.messages import ResolveInput
from domain.notification_types import NotificationType
from domain.validation_issues import InvalidInput, issue_at
from providers.base import Provider
from services.acceptance import ATTRIBUTES_TOO_LARGE, UNKNOWN_RECIPIENT, Acceptance
from services.circuits import CircuitMonitor
from services.delivery_rendering import DeliveryRenderer
from services.dry_runs.calls import CallPredictor
from services.dry_runs.digests import DigestPredictor
from services.dry_runs.gates import PredictedGateChecker
from services.dry_runs.sends import SendPredictor
from services.gates import GateCheck
from services.route_resolution import RouteResolver
from services.send_commands import AcceptedSend, SendCommand
from storage import holds
from storage.acceptance import NewNotification, read_send_preview
from storage.catalog import Catalog
from storage.database import Database

SEND_AT_TOO_LATE = issue_at("/send_at", "is too late for a dry run")


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedSend:
    """The notification that a send would insert, and what would happen to it."""

    new: NewNotification
    forecast: Forecast


class DryRunPredictor:
    """Predict sends. `secret` is the key of the hashes that identify digests."""

    def __init__(
        self,
        acceptance: Acceptance,
        database: Database,
        catalog: Catalog,
        circuits: CircuitMonitor,
        providers: Mapping[str, Provider],
        route_resolver: RouteResolver,
        delivery_renderer: DeliveryRenderer,
        secret: bytes,
    ) -> None:
        self._acceptance = acceptance
        self._database = database
        self._catalog = catalog
        self._circuits = circuits
        self._providers = providers
        self._route_resolver = route_resolver
        self._delivery_renderer = delivery_renderer
        self._secret = secret

    async def predict(
        self, caller: Caller, command: SendCommand, charge_renders: Callable[[int], Awaitable[None]]
    ) -> PredictedSend | AcceptedSend:
        """Return the prediction, or the earlier notification with the same key. Raise InvalidInput for the issues of a
        send, and if its times cannot be computed. `charge_renders` charges the rate limit for the rendered channels."""
        for result in (await self._acceptance.find_replays(caller.tenant, [command])).values():
            if not isinstance(result, AcceptedSend):
                raise InvalidInput(*result)
            return result
        [new] = (await self._acceptance.prepare(caller, {0: command})).values()
        if not isinstance(new, NewNotification):
            raise InvalidInput(*new)
        notification_type = await self._catalog.type_by_id(caller.tenant, new.type_id)
        await charge_renders(len(set(command.channels or notification_type.channels)))
        return PredictedSend(new=new, forecast=await self._forecast(caller.tenant, notification_type, new))

    async def _forecast(self, tenant: UUID, notification_type: NotificationType, new: NewNotification) -> Forecast:
        async with self._database.transaction() as session:
            preview = await read_send_preview(session, tenant, new)
            active_pauses = await holds.list_for_type(session, tenant, notification_type.key)
        if preview.attributes_too_large:
            raise InvalidInput(issue_at("/recipient/attributes", ATTRIBUTES_TOO_LARGE))
        if not preview.known_recipient:
            raise InvalidInput(issue_at("/recipient_id", UNKNOWN_RECIPIENT))
        await self._circuits.refresh()
        start = ResolveInput(notification_id=new.id, tenant=tenant, generation=1)
        check = GateCheck(start=start, notification_type=notification_type, context=preview.recipient_context)
        predictor = SendPredictor(
            self._route_resolver,
            DigestPredictor(self._database, self._catalog, self._secret),
            PredictedGateChecker(self._database),
            CallPredictor(self._delivery_renderer, self._circuits, self._providers, active_pauses),
        )
        try:
            return await predictor.run(new, check, preview.expires_at)
        except OverflowError:  # the calendar ends with the year 9999
            raise InvalidInput(SEND_AT_TOO_LATE) from None
