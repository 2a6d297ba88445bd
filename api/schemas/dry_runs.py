"""Models of the prediction that `dry_run` returns."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import ChannelName, Id, Model, Timestamp
from api.schemas.sms import SmsView
from domain.forecasts import ForecastDecision, StepStart
from domain.json_types import Json
from domain.statuses import NotificationStatus

NOW, EVENING, MORNING = (f"2026-11-22T{time}Z" for time in ("19:19:50.395871", "21:00:00", "06:00:00"))
EXAMPLE: Json = {
    "decision": "wait",
    "status": None,
    "reason": None,
    "notification_type": "welcome",
    "recipient_id": "ada",
    "priority": 3,
    "send_at": "2026-11-22T21:00:00Z",
    "expires_at": None,
    "replays": None,
    "waits": [
        {"reason": "send_at", "since": NOW, "until": EVENING},
        {"reason": "quiet_hours", "since": EVENING, "until": "2026-11-23T06:00:00Z"},
    ],
    "digest": None,
    "steps": [
        {
            "step": 1,
            "start": "always",
            "at": "2026-11-23T06:00:00Z",
            "goal": "opened",
            "within": "1h",
            "waits": [],
            "channels": [
                {
                    "channel": "email",
                    "decision": "send",
                    "reason": None,
                    "rule": "type.default",
                    "provider": "sandbox",
                    "other_providers": [],
                    "devices": 1,
                    "devices_skipped": 0,
                    "chat_room": None,
                    "template_id": "01a204b3-5118-775c-8fa6-4dbbf7c9bafd",
                    "template_name": "welcome",
                    "template_version": 1,
                    "language": "en",
                    "rendered_content": {"subject": "Welcome, Ada", "html": "<p>Hello Ada.</p>", "text": "Hello Ada."},
                    "sms": None,
                }
            ],
        },
        {
            "step": 2,
            "start": "goal_missed",
            "at": "2026-11-23T07:00:00Z",
            "goal": None,
            "within": None,
            "waits": [],
            "channels": [
                {
                    "channel": "sms",
                    "decision": "skip",
                    "reason": "opted_out (global_channel_opt_in.sms)",
                    "rule": "global_channel_opt_in.sms",
                    "provider": None,
                    "other_providers": [],
                    "devices": 0,
                    "devices_skipped": 0,
                    "chat_room": None,
                    "template_id": None,
                    "template_name": None,
                    "template_version": None,
                    "language": None,
                    "rendered_content": None,
                    "sms": None,
                }
            ],
        },
    ],
}


class PredictedWaitView(Model):
    """`reason` is `send_at`, `digest` or a value of `waits_for` of a notification. `until` is null if the end is not
    known."""

    reason: str
    since: Timestamp
    until: Timestamp | None


class PredictedDigestView(Model):
    """The window that would collect the send. `items` counts its present items and this one."""

    opened_at: Timestamp
    closes_at: Timestamp
    items: int


class PredictedChannelView(Model):
    """`decision` `wait`: a pause or the state of the provider holds the call. `reason` says why a channel waits or is
    skipped."""

    channel: ChannelName
    decision: ForecastDecision
    reason: str | None
    rule: Annotated[str | None, Field(description="The preference or default that allowed or excluded the channel.")]
    provider: Annotated[
        str | None, Field(description="The provider that is called first, chosen by weight for each send.")
    ]
    other_providers: Annotated[
        list[str], Field(description="Providers that are called in this order if the first one cannot send.")
    ]
    devices: Annotated[
        int, Field(description="Number of devices that receive it; 1 for a channel with a single address.")
    ]
    devices_skipped: int
    chat_room: Annotated[
        str | None, Field(description="The tenant's chat room that gets the message instead of the recipient's chat.")
    ]
    template_id: Id | None
    template_name: str | None
    template_version: int | None
    language: str | None
    rendered_content: Json | None
    sms: SmsView | None


class PredictedStepView(Model):
    """One step of the route. Step 0 has the channels of `always`."""

    step: int
    start: Annotated[
        StepStart,
        Field(
            description="`always`; `goal_missed`: unless the previous step reaches its goal within its time; "
            "`step_failed`: only if every channel of the previous step fails."
        ),
    ]
    at: Annotated[Timestamp | None, Field(description="When its providers are called; null if not known.")]
    goal: Annotated[str | None, Field(description="The goal that the next step waits for, up to `within` after `at`.")]
    within: str | None
    waits: Annotated[list[PredictedWaitView], Field(description="Quiet hours or send window that delay the step.")]
    channels: list[PredictedChannelView]


class DryRunResponse(Model):
    """What a send would do now; nothing is stored. The times assume that each call is accepted at once, that no receipt
    arrives and that nothing else is sent in the meantime. `decision`: send at once, wait first, or skip, which ends
    with `status` and `reason`. `priority` and `expires_at` are those of the notification that is sent, which may be a
    digest."""

    decision: ForecastDecision
    status: NotificationStatus | None
    reason: str | None
    notification_type: str
    recipient_id: str
    priority: int
    send_at: Timestamp | None
    expires_at: Timestamp | None
    replays: Annotated[
        Id | None,
        Field(description="The notification of an earlier request with this key and body. Nothing is sent."),
    ]
    waits: list[PredictedWaitView]
    digest: PredictedDigestView | None
    steps: list[PredictedStepView]
