"""Predict a send: `POST /notifications/send` with `dry_run` checks the request like a send and returns what it would
do."""

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import Request

from api.acceptance import UNKNOWN_RECIPIENT, AcceptedSend, SendCommand, acceptance_of
from api.problems import ValidationIssue, invalid, issue_at
from api.rate_limits import RENDER_POINTS, charge
from api.schemas.dry_runs import (
    DryRunResponse,
    PredictedChannelView,
    PredictedDigestView,
    PredictedStepView,
    PredictedWaitView,
)
from api.schemas.recipients import ATTRIBUTES_TOO_LARGE
from bootstrap import Container
from domain.durations import format_exact
from domain.forecasts import ChannelForecast, Forecast, ForecastDecision, ForecastWait, StepForecast, StepStart
from domain.json_types import Json
from domain.reasons import reason_line
from services.dry_runs import DryRunPredictor, SendRefusal, SendRefused
from storage.acceptance import NewNotification

ISSUES = {
    SendRefusal.ATTRIBUTES_TOO_LARGE: issue_at("/recipient/attributes", ATTRIBUTES_TOO_LARGE),
    SendRefusal.UNKNOWN_RECIPIENT: issue_at("/recipient_id", UNKNOWN_RECIPIENT),
    SendRefusal.SEND_AT_TOO_LATE: issue_at("/send_at", "is too late for a dry run"),
}
ECHOED_FIELDS = ("notification_type", "recipient_id", "priority")


async def dry_run(request: Request, command: SendCommand) -> DryRunResponse:
    """Return the prediction. Raise the same problems as a send."""
    acceptance = acceptance_of(request)
    for result in (await acceptance.find_replays([command])).values():
        return _replayed_view(result)
    [prepared] = (await acceptance.prepare({0: command})).values()
    if not isinstance(prepared, NewNotification):
        raise invalid(*prepared)
    container: Container = request.app.state.container
    tenant = request.state.caller.tenant
    notification_type = await container.catalog.type_by_id(tenant, prepared.type_id)
    await charge(request, RENDER_POINTS * len(set(command.request.channels or notification_type.channels)))
    try:
        forecast = await _predictor_of(container).predict(tenant, notification_type, prepared)
    except SendRefused as error:
        raise invalid(ISSUES[error.refusal]) from None
    return _dry_run_view(prepared, forecast)


def _replayed_view(result: AcceptedSend | list[ValidationIssue]) -> DryRunResponse:
    if not isinstance(result, AcceptedSend):
        raise invalid(*result)
    earlier_fields = {name: result.values[name] for name in (*ECHOED_FIELDS, "send_at", "expires_at")}
    no_predictions: Json = {"waits": [], "digest": None, "steps": []}
    return DryRunResponse(
        decision=ForecastDecision.SKIP,
        status=None,
        reason=None,
        replays=result.values["id"],
        **earlier_fields,
        **no_predictions,
    )


def _predictor_of(container: Container) -> DryRunPredictor:
    return DryRunPredictor(
        container.database,
        container.catalog,
        container.circuits,
        container.providers,
        container.services,
        container.settings.secret,
    )


def _dry_run_view(new: NewNotification, forecast: Forecast) -> DryRunResponse:
    return DryRunResponse(
        decision=_decide(forecast),
        status=forecast.status,
        reason=forecast.reason,
        notification_type=new.notification_type,
        recipient_id=new.recipient_id,
        priority=forecast.priority,
        send_at=new.send_at,
        expires_at=forecast.expires_at,
        replays=None,
        waits=_wait_views(forecast.waits),
        digest=None if forecast.digest is None else PredictedDigestView(**asdict(forecast.digest)),
        steps=[_step_view(step) for step in forecast.steps],
    )


def _decide(forecast: Forecast) -> ForecastDecision:
    if forecast.status is not None:
        return ForecastDecision.SKIP
    first = [step for step in forecast.steps if step.start is StepStart.ALWAYS and not step.waits]
    is_sent = any(channel.is_sent for step in first for channel in step.channels)
    return ForecastDecision.SEND if is_sent and not forecast.waits else ForecastDecision.WAIT


def _wait_views(waits: Sequence[ForecastWait]) -> list[PredictedWaitView]:
    return [PredictedWaitView(reason=wait.reason, since=wait.since, until=wait.until) for wait in waits]


def _step_view(step: StepForecast) -> PredictedStepView:
    return PredictedStepView(
        step=step.number,
        start=step.start,
        at=step.at,
        goal=step.goal,
        within=None if step.within is None else format_exact(step.within),
        waits=_wait_views(step.waits),
        channels=[_channel_view(channel) for channel in step.channels],
    )


def _channel_view(channel: ChannelForecast) -> PredictedChannelView:
    template = channel.template
    return PredictedChannelView(
        channel=channel.channel,
        decision=channel.decision,
        reason=None if channel.reason is None else reason_line(channel.reason),
        rule=channel.rule,
        provider=next(iter(channel.providers), None),
        other_providers=list(channel.providers[1:]),
        devices=channel.devices,
        devices_skipped=channel.devices_skipped,
        template_id=None if template is None else template.id,
        template_name=None if template is None else template.name,
        template_version=None if template is None else template.version,
        language=None if template is None else template.language,
        rendered_content=channel.content,
    )
