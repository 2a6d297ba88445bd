"""Build the response of a dry run: `POST /notifications/send` with `dry_run`."""

from collections.abc import Sequence
from dataclasses import asdict

from api.schemas.dry_runs import (
    DryRunResponse,
    PredictedChannelView,
    PredictedDigestView,
    PredictedStepView,
    PredictedWaitView,
)
from api.schemas.sms import SmsView
from domain.durations import format_exact
from domain.forecasts import ChannelForecast, Forecast, ForecastDecision, ForecastWait, StepForecast, StepStart
from domain.json_types import Json
from domain.reasons import reason_line
from services.dry_runs.predictor import PredictedSend
from services.send_commands import AcceptedSend

ECHOED_FIELDS = ("notification_type", "recipient_id", "priority")


def dry_run_view(predicted: PredictedSend | AcceptedSend) -> DryRunResponse:
    return _replayed_view(predicted) if isinstance(predicted, AcceptedSend) else _predicted_view(predicted)


def _replayed_view(earlier: AcceptedSend) -> DryRunResponse:
    earlier_fields = {name: earlier.values[name] for name in (*ECHOED_FIELDS, "send_at", "expires_at")}
    no_predictions: Json = {"waits": [], "digest": None, "steps": []}
    return DryRunResponse(
        decision=ForecastDecision.SKIP,
        status=None,
        reason=None,
        replays=earlier.values["id"],
        **earlier_fields,
        **no_predictions,
    )


def _predicted_view(predicted: PredictedSend) -> DryRunResponse:
    new, forecast = predicted.new, predicted.forecast
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
        chat_room=channel.chat_room,
        template_id=None if template is None else template.id,
        template_name=None if template is None else template.name,
        template_version=None if template is None else template.version,
        language=None if template is None else template.language,
        rendered_content=channel.content,
        sms=SmsView.from_content(channel.channel, channel.content),
    )
