"""`tocsin send`: one notification, or one for each of several recipients. Registered by `cli.py`."""

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

Json = dict[str, Any]

console = Console(highlight=False)


def send(
    type: Annotated[str, typer.Argument(help="Key of the notification type.")],
    recipient: Annotated[list[str] | None, typer.Argument(help="Recipient ids: a notification for each.")] = None,
    topic: Annotated[str | None, typer.Option(help="Instead of recipients: each subscriber of this topic.")] = None,
    payload: Annotated[str, typer.Option(help="JSON, or @FILE with JSON.")] = "{}",
    channel: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    email: Annotated[str | None, typer.Option(help="With any of these three the person is made or updated.")] = None,
    phone: Annotated[str | None, typer.Option(help="In E.164: +4917012345678.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language, such as de or de-AT.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key again is the same notification.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over; exit code 1 if it did not go out.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
) -> None:
    """Send one notification, or one for each recipient. Prints ids, or with --wait what became of them."""
    profile = {name: value for name, value in {"email": email, "phone": phone, "locale": locale}.items() if value}
    recipient_fields = _recipient_fields(recipient or [], topic, profile)
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    if dry_run and (topic or len(recipient or ()) != 1):
        raise typer.BadParameter("--dry-run goes with one recipient")

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
        raise typer.BadParameter("give recipients, or --topic")
    if len(recipients) == 1:
        [one] = recipients
        return {"recipient": {"recipient_id": one, **profile}} if profile else {"recipient_id": one}
    if profile:
        raise typer.BadParameter("--email, --phone and --locale go with one recipient")
    return {"topic": topic} if topic else {"recipients": [{"recipient_id": one} for one in recipients]}


async def _print_results(api: ApiClient, items: list[Json], within: float | None) -> None:
    """Print ids, or what became of them within so many seconds. Raises for what was refused or did not go out."""
    problems = [f"{item['recipient_id']}: {error['detail']}" for item in items for error in item.get("errors") or ()]
    are_all_sent = True
    for id in [item["id"] for item in items if item["id"] is not None]:
        if within is None:
            typer.echo(id)
            continue
        notification = await api.wait_until_final(id, within)
        print_notification(console, notification)
        if notification["status"] == "PENDING":
            problems.append(f"still on its way after {within:g} s; look again with 'tocsin show {id}'")
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
