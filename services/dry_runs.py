"""Predict a send without storing it. Called by dry runs of the API."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from domain.forecasts import Forecast
from domain.messages import ResolveInput
from domain.notification_types import NotificationType
from providers.base import Provider
from services.assembly import Services
from services.circuits import CircuitMonitor
from services.gates import GateCheck
from services.predicted_calls import CallPredictor
from services.predicted_digests import DigestPredictor
from services.predicted_gates import PredictedGateChecker
from services.predictions import SendPredictor
from storage import holds
from storage.acceptance import NewNotification, read_send_preview
from storage.catalog import Catalog
from storage.database import Database


class SendRefusal(StrEnum):
    ATTRIBUTES_TOO_LARGE = "attributes_too_large"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    SEND_AT_TOO_LATE = "send_at_too_late"


class SendRefused(Exception):
    """Report that the send would not be accepted, or that its times cannot be computed."""

    def __init__(self, refusal: SendRefusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class DryRunPredictor:
    """Predict sends. `secret` keys the digest keys."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        circuits: CircuitMonitor,
        providers: Mapping[str, Provider],
        services: Services,
        secret: bytes,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._circuits = circuits
        self._providers = providers
        self._services = services
        self._secret = secret

    async def predict(self, tenant: UUID, notification_type: NotificationType, new: NewNotification) -> Forecast:
        """Return the forecast of a checked send. Raise SendRefused."""
        async with self._database.transaction() as session:
            preview = await read_send_preview(session, tenant, new)
            active_pauses = await holds.list_for_type(session, tenant, notification_type.key)
        if preview.attributes_too_large:
            raise SendRefused(SendRefusal.ATTRIBUTES_TOO_LARGE)
        if not preview.known_recipient:
            raise SendRefused(SendRefusal.UNKNOWN_RECIPIENT)
        await self._circuits.refresh()
        start = ResolveInput(notification_id=new.id, tenant=tenant, generation=1)
        check = GateCheck(start=start, notification_type=notification_type, context=preview.recipient_context)
        predictor = SendPredictor(
            self._services.route_resolver,
            DigestPredictor(self._database, self._catalog, self._secret),
            PredictedGateChecker(self._database),
            CallPredictor(self._services.delivery_renderer, self._circuits, self._providers, active_pauses),
        )
        try:
            return await predictor.run(new, check, preview.expires_at)
        except OverflowError:  # the calendar ends with the year 9999
            raise SendRefused(SendRefusal.SEND_AT_TOO_LATE) from None
