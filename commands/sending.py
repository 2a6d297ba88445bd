"""Send one notification, or one for each of several recipients: `tocsin send`. Registered by `cli.py`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from commands.client import ApiClient
from commands.errors import CommandError
from commands.execution import run_with_api
from commands.forecasts import forecast_lines
from commands.timeline import SUCCESS_STATUSES, print_notification
from domain.json_types import Json

console = Console(highlight=False)

RecipientIds = Annotated[
    list[str] | None, typer.Argument(metavar="RECIPIENT", help="Recipient ids. Each gets a notification.")
]
TopicOption = Annotated[
    str | None, typer.Option(metavar="TOPIC", help="Send to each subscriber of this topic instead of recipients.")
]
ChannelOption = Annotated[
    list[str] | None, typer.Option(metavar="CHANNEL", help="Use only this channel. Can be repeated.")
]
EmailOption = Annotated[
    str | None, typer.Option(metavar="EMAIL", help="Create or update the recipient with this address.")
]
PhoneOption = Annotated[
    str | None, typer.Option(metavar="PHONE", help="The same with a phone number in E.164: +4917012345678.")
]
LocaleOption = Annotated[
    str | None, typer.Option(metavar="LANGUAGE", help="The same with a language, such as de or de-AT.")
]
IdempotencyKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="A repeated send with the same key returns the same notification.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the result. Exit code 1 if it was not sent.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]


def send(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Key of the notification type.")],
    recipient: RecipientIds = None,
    topic: TopicOption = None,
    payload: Annotated[str, typer.Option(metavar="JSON", help="JSON, or @FILE with JSON.")] = "{}",
    channel: ChannelOption = None,
    email: EmailOption = None,
    phone: PhoneOption = None,
    locale: LocaleOption = None,
    idempotency_key: IdempotencyKey = None,
    wait: WaitOption = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Maximum seconds to wait.")] = 60,
    dry_run: DryRunOption = False,
) -> None:
    """Send one notification, or one for each recipient. Prints their ids, or with --wait their results."""
    profile = {name: value for name, value in {"email": email, "phone": phone, "locale": locale}.items() if value}
    recipient_fields = _recipient_fields(recipient or [], topic, profile)
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    if dry_run and (topic or len(recipient or ()) != 1):
        raise typer.BadParameter("--dry-run needs exactly one recipient")

    async def work(api: ApiClient) -> None:
        body = {"notification_type": type, **recipient_fields, "payload": _read_json(payload)}
        body |= {"channels": channel} if channel else {}
        if dry_run:
            forecast = await api.call("POST", "/notifications/send", body | {"dry_run": True}, headers=headers)
            for line in forecast_lines(forecast):
                typer.echo(line)
            return
        sent = await api.call("POST", "/notifications/send", body, headers=headers)
        await _print_results(api, sent.get("items", [sent]), timeout if wait else None)

    run_with_api(work)


def _recipient_fields(recipients: list[str], topic: str | None, profile: Json) -> Json:
    if bool(recipients) is (topic is not None):
        raise typer.BadParameter("give either recipients or --topic")
    if len(recipients) == 1:
        [one] = recipients
        return {"recipient": {"recipient_id": one, **profile}} if profile else {"recipient_id": one}
    if profile:
        raise typer.BadParameter("--email, --phone and --locale need exactly one recipient")
    return {"topic": topic} if topic else {"recipients": [{"recipient_id": one} for one in recipients]}


async def _print_results(api: ApiClient, items: list[Json], within: float | None) -> None:
    """Print ids, or the results within a number of seconds. Raise if a send was refused or not delivered."""
    problems = [f"{item['recipient_id']}: {error['detail']}" for item in items for error in item.get("errors") or ()]
    are_all_sent = True
    for id in [item["id"] for item in items if item["id"] is not None]:
        if within is None:
            typer.echo(id)
            continue
        notification = await api.wait_until_final(id, within)
        print_notification(console, notification)
        if notification["status"] == "PENDING":
            problems.append(f"still in progress after {within:g} s; check again with 'tocsin show {id}'")
        are_all_sent = are_all_sent and notification["status"] in SUCCESS_STATUSES
    if problems:
        raise CommandError(*problems)
    if not are_all_sent:
        raise typer.Exit(1)


def _read_json(text: str) -> Any:
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise CommandError(f"--payload is not JSON: {error}") from None
