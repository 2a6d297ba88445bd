"""`tocsin explain`, `redrive` and `failures`: what to do when sends fail. Registered by `cli.py`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from commands.client import Api
from commands.ending import talk
from commands.errors import CommandError
from commands.recent import whole_id
from commands.timeline import clock, coloured

Json = dict[str, Any]

console = Console(highlight=False)
NO_CLOCK = " " * 12

OneId = Annotated[str, typer.Argument(help="Notification id, or its end as 'tail' shows it.")]
MaybeId = Annotated[str | None, typer.Argument(metavar="ID", help="One notification; else filter.")]
OfType = Annotated[str | None, typer.Option("--type", help="Only of this notification type.")]
OfChannel = Annotated[str | None, typer.Option("--channel", help="Only what went, or was to go, by this channel.")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Only with this code, or this cause: gave_up, timeout.")]
OfRecipient = Annotated[str | None, typer.Option("--recipient", help="Only of this recipient.")]
OfTag = Annotated[str | None, typer.Option("--tag", help="Only with this tag.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Accepted then or later: 2026-11-22T09:00:00Z.")
]
Before = Annotated[str | None, typer.Option("--before", metavar="TIME", help="Accepted before that.")]


def explain(id: OneId) -> None:
    """Why each channel was or was not used, who was asked and what they said, and what is waited for."""

    async def work(api: Api) -> None:
        told = await api.get(f"/notifications/{await whole_id(api, id)}/explain")
        for line in _account(told):
            console.print(line, soft_wrap=True)

    talk(work)


def redrive(
    id: MaybeId = None,
    type: OfType = None,
    channel: OfChannel = None,
    reason: OfReason = None,
    recipient: OfRecipient = None,
    tag: OfTag = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the oldest first.")] = 1_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go out, and change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also what may have arrived (IN_DOUBT).")] = False,
) -> None:
    """Send again what failed: one notification, or all that a filter finds."""
    wanted = _filter(type, channel, reason, recipient, tag, since, before)
    if (id is None) is (not wanted):
        raise typer.BadParameter("give one ID, or a filter such as --type or --from")
    if id is not None and dry_run:
        raise typer.BadParameter("--dry-run goes with a filter")

    async def work(api: Api) -> None:
        if id is not None:
            _one(await api.call("POST", f"/notifications/{await whole_id(api, id)}/redrive", {"force": force}))
            return
        order = {"filter": wanted, "force": force, "dry_run": dry_run, "limit": limit}
        _many(await api.call("POST", "/notifications/redrive", order), dry_run=dry_run)

    talk(work)


def failures(
    type: OfType = None,
    channel: OfChannel = None,
    reason: OfReason = None,
    recipient: OfRecipient = None,
    tag: OfTag = None,
    since: Since = None,
    before: Before = None,
) -> None:
    """What failed and why, counted, the most frequent first; with one id of each to explain or redrive."""
    wanted = _filter(type, channel, reason, recipient, tag, since, before)

    async def work(api: Api) -> None:
        for group in await api.every("/failures", **wanted):
            console.print(_group(group), soft_wrap=True)

    talk(work)


def _filter(
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


def _account(told: Json) -> Iterator[str]:
    yield f"[bold]{escape(told['summary'])}[/]"
    for line in told["lines"]:
        yield f"{clock(line['at']) if line['at'] else NO_CLOCK}  {escape(line['text'])}"
    yield told["id"]
    if told["temporal_url"]:
        yield escape(told["temporal_url"])


def _one(answer: Json) -> None:
    if not answer["redriven"]:
        raise CommandError(f"not redriven: {answer['skipped'][0]['reason']}; it is {answer['status']}")
    typer.echo(f"redriven as generation {answer['generation']}")


def _many(answer: Json, *, dry_run: bool) -> None:
    would = "would be redriven" if dry_run else "redriven"
    typer.echo(f"{answer['matched']} matched, {answer['redriven']} {would}, {len(answer['skipped'])} skipped")
    for skipped in answer["skipped"]:
        typer.echo(f"{skipped['id']}  {skipped['reason']}")


def _group(group: Json) -> str:
    where = f"{group['notification_type']} {group['channel'] or ''}".rstrip()
    facts = f"{group['count']:>6}  {group['age']:>4}  {coloured(group['status'], 9)} {escape(where):<28}"
    return f"{facts} {escape(group['reason'])}  [dim]{group['sample_ids'][0]}[/]"
