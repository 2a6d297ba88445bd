"""`POST /notifications/send` with `dry_run`: checks the request as a send does, and answers what would become of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import Request

from activities.gates import Asked
from activities.predicted_calls import PredictedCalls
from activities.predicted_digests import PredictedDigests
from activities.predicted_gates import PredictedGates
from activities.predictions import Prediction
from api.acceptance import UNKNOWN_RECIPIENT, Ask, Taken, acceptance_of
from api.problems import Fault, at, invalid
from api.rate_limits import RENDER_POINTS, charge
from api.schemas.dry_runs import DryRun, PredictedChannel, PredictedDigest, PredictedStep, PredictedWait
from api.schemas.recipients import ATTRIBUTES_TOO_LARGE
from bootstrap import Parts
from domain.durations import exact
from domain.forecasts import ChannelForecast, Decision, Forecast, StepForecast, StepStart, Wait
from domain.messages import ResolveInput
from domain.reasons import line
from storage import pauses
from storage.acceptance import NewNotification
from storage.prospects import Prospect, read_prospect

Json = dict[str, Any]

TOO_LATE = at("/send_at", "is too late for a dry run")
SENT = ("notification_type", "recipient_id", "priority")


async def dry_run(request: Request, ask: Ask) -> DryRun:
    """Raises the problems of a send."""
    acceptance = acceptance_of(request)
    for answer in (await acceptance.known([ask])).values():
        return _replayed(answer)
    [prepared] = (await acceptance.prepare({0: ask})).values()
    if not isinstance(prepared, NewNotification):
        raise invalid(*prepared)
    parts: Parts = request.app.state.parts
    tenant = request.state.caller.tenant
    kind = await parts.catalog.type_by_id(tenant, prepared.type_id)
    await charge(request, RENDER_POINTS * len(set(ask.request.channels or kind.channels)))
    async with parts.database.transaction() as session:
        prospect = await read_prospect(session, tenant, prepared)
        in_force = await pauses.for_type(session, tenant, kind.key)
    if faults := _faults(prospect):
        raise invalid(*faults)
    await parts.circuits.refresh()
    start = ResolveInput(notification_id=prepared.id, tenant=tenant, generation=1)
    asked = Asked(start=start, kind=kind, audience=prospect.audience)
    prediction = Prediction(
        parts.resolution,
        PredictedDigests(parts.database, parts.catalog, parts.settings.secret),
        PredictedGates(parts.database),
        PredictedCalls(parts.composition, parts.circuits, parts.providers, in_force),
    )
    try:
        forecast = await prediction.run(prepared, asked, prospect.expires_at)
    except OverflowError:  # beyond the calendar, which ends with the year 9999
        raise invalid(TOO_LATE) from None
    return _shown(prepared, forecast)


def _replayed(answer: Taken | list[Fault]) -> DryRun:
    if not isinstance(answer, Taken):
        raise invalid(*answer)
    kept = {name: answer.values[name] for name in (*SENT, "send_at", "expires_at")}
    nothing: Json = {"waits": [], "digest": None, "steps": []}
    return DryRun(decision=Decision.SKIP, status=None, reason=None, replays=answer.values["id"], **kept, **nothing)


def _faults(prospect: Prospect) -> list[Fault]:
    if prospect.attributes_too_large:
        return [at("/recipient/attributes", ATTRIBUTES_TOO_LARGE)]
    return [] if prospect.known_recipient else [at("/recipient_id", UNKNOWN_RECIPIENT)]


def _shown(new: NewNotification, forecast: Forecast) -> DryRun:
    return DryRun(
        decision=_decision(forecast),
        status=forecast.status,
        reason=forecast.reason,
        notification_type=new.notification_type,
        recipient_id=new.recipient_id,
        priority=forecast.priority,
        send_at=new.send_at,
        expires_at=forecast.expires_at,
        replays=None,
        waits=_waits(forecast.waits),
        digest=None if forecast.digest is None else PredictedDigest(**asdict(forecast.digest)),
        steps=[_step(step) for step in forecast.steps],
    )


def _decision(forecast: Forecast) -> Decision:
    if forecast.status is not None:
        return Decision.SKIP
    first = [step for step in forecast.steps if step.start is StepStart.ALWAYS and not step.waits]
    is_sent = any(channel.is_sent for step in first for channel in step.channels)
    return Decision.SEND if is_sent and not forecast.waits else Decision.WAIT


def _waits(waits: Sequence[Wait]) -> list[PredictedWait]:
    return [PredictedWait(reason=wait.reason, since=wait.since, until=wait.until) for wait in waits]


def _step(step: StepForecast) -> PredictedStep:
    return PredictedStep(
        step=step.number,
        start=step.start,
        at=step.at,
        goal=step.goal,
        within=None if step.within is None else exact(step.within),
        waits=_waits(step.waits),
        channels=[_channel(channel) for channel in step.channels],
    )


def _channel(channel: ChannelForecast) -> PredictedChannel:
    template = channel.template
    return PredictedChannel(
        channel=channel.channel,
        decision=channel.decision,
        reason=None if channel.reason is None else line(channel.reason),
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
