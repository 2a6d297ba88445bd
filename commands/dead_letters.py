"""Handle failed notifications: `tocsin explain`, `redrive` and `failures`. Registered by `cli.py`."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from commands.client import ApiClient, resolve_id
from commands.errors import CommandError
from commands.execution import run_with_api
from commands.timeline import colored, time_text
from domain.json_types import Json

console = Console(highlight=False)
BLANK_TIME = " " * 12

NotificationId = Annotated[str, typer.Argument(help="Notification id, or its last characters as shown by 'tail'.")]
OptionalId = Annotated[str | None, typer.Argument(metavar="ID", help="One notification. Without it, give a filter.")]
TypeFilter = Annotated[str | None, typer.Option("--type", help="Only of this notification type.")]
ChannelFilter = Annotated[str | None, typer.Option("--channel", help="Only failures of this channel.")]
ReasonFilter = Annotated[
    str | None, typer.Option("--reason", help="Only with this reason code or cause: retries_exhausted, timeout.")
]
RecipientFilter = Annotated[str | None, typer.Option("--recipient", help="Only for this recipient.")]
TagFilter = Annotated[str | None, typer.Option("--tag", help="Only with this tag.")]
AcceptedFrom = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Accepted at or after this time: 2026-11-22T09:00:00Z.")
]
AcceptedBefore = Annotated[str | None, typer.Option("--before", metavar="TIME", help="Accepted before this time.")]


def explain(id: NotificationId) -> None:
    """Explain which channels were used and why, the results of provider calls, and current waits."""

    async def work(api: ApiClient) -> None:
        explanation = await api.get(f"/notifications/{await resolve_id(api, id)}/explain")
        for line in _explanation_lines(explanation):
            console.print(line, soft_wrap=True)

    run_with_api(work)


def redrive(
    id: OptionalId = None,
    type: TypeFilter = None,
    channel: ChannelFilter = None,
    reason: ReasonFilter = None,
    recipient: RecipientFilter = None,
    tag: TagFilter = None,
    since: AcceptedFrom = None,
    before: AcceptedBefore = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number, oldest first.")] = 1_000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be redriven, and change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also IN_DOUBT notifications, which may have arrived.")
    ] = False,
) -> None:
    """Send failed notifications again: one notification, or all that match a filter."""
    filter_fields = _filter_of(type, channel, reason, recipient, tag, since, before)
    if (id is None) is (not filter_fields):
        raise typer.BadParameter("give either an ID or a filter such as --type or --from")
    if id is not None and dry_run:
        raise typer.BadParameter("--dry-run needs a filter")

    async def work(api: ApiClient) -> None:
        if id is not None:
            _print_redriven(
                await api.call("POST", f"/notifications/{await resolve_id(api, id)}/redrive", {"force": force})
            )
            return
        request = {"filter": filter_fields, "force": force, "dry_run": dry_run, "limit": limit}
        _print_batch_result(await api.call("POST", "/notifications/redrive", request), dry_run=dry_run)

    run_with_api(work)


def failures(
    type: TypeFilter = None,
    channel: ChannelFilter = None,
    reason: ReasonFilter = None,
    recipient: RecipientFilter = None,
    tag: TagFilter = None,
    since: AcceptedFrom = None,
    before: AcceptedBefore = None,
) -> None:
    """List failures by reason with their count, most frequent first, and one id of each to explain or redrive."""
    filter_fields = _filter_of(type, channel, reason, recipient, tag, since, before)

    async def work(api: ApiClient) -> None:
        for group in await api.list_all("/failures", **filter_fields):
            console.print(_failure_line(group), soft_wrap=True)

    run_with_api(work)


def _filter_of(
    type: str | None,
    channel: str | None,
    reason: str | None,
    recipient: str | None,
    tag: str | None,
    since: str | None,
    before: str | None,
) -> Json:
    named = {
        "notification_type": type,
        "channel": channel,
        "failure_reason": reason,
        "recipient_id": recipient,
        "tag": tag,
        "created_from": since,
        "created_before": before,
    }
    return {name: value for name, value in named.items() if value is not None}


def _explanation_lines(explanation: Json) -> Iterator[str]:
    yield f"[bold]{escape(explanation['summary'])}[/]"
    for line in explanation["lines"]:
        yield f"{time_text(line['at']) if line['at'] else BLANK_TIME}  {escape(line['text'])}"
    yield explanation["id"]
    if explanation["temporal_url"]:
        yield escape(explanation["temporal_url"])


def _print_redriven(result: Json) -> None:
    if not result["redriven"]:
        raise CommandError(f"not redriven: {result['skipped'][0]['reason']}; it is {result['status']}")
    typer.echo(f"redriven as generation {result['generation']}")


def _print_batch_result(result: Json, *, dry_run: bool) -> None:
    verb = "would be redriven" if dry_run else "redriven"
    typer.echo(f"{result['matched']} matched, {result['redriven']} {verb}, {len(result['skipped'])} skipped")
    for skipped in result["skipped"]:
        typer.echo(f"{skipped['id']}  {skipped['reason']}")


def _failure_line(group: Json) -> str:
    where = f"{group['notification_type']} {group['channel'] or ''}".rstrip()
    facts = f"{group['count']:>6}  {group['age']:>4}  {colored(group['status'], 9)} {escape(where):<28}"
    return f"{facts} {escape(group['reason'])}  [dim]{group['sample_ids'][0]}[/]"
