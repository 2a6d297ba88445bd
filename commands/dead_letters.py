"""Handle failed notifications: `tocsin explain`, `redrive` and `failures`. Registered by `cli.py`."""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

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

NotificationId = Annotated[
    str, typer.Argument(metavar="ID", help="Notification id, or its last characters as shown by 'tail'.")
]
OptionalId = Annotated[str | None, typer.Argument(metavar="ID", help="One notification. Without it, give a filter.")]
# The options of a filter, by the field of the API.
FILTER_OPTIONS: dict[str, Any] = {
    "notification_type": typer.Option("--type", metavar="TYPE", help="Only of this notification type."),
    "channel": typer.Option("--channel", metavar="CHANNEL", help="Only failures of this channel."),
    "failure_reason": typer.Option(
        "--reason", metavar="REASON", help="Only with this reason code or cause: retries_exhausted, timeout."
    ),
    "recipient_id": typer.Option("--recipient", metavar="RECIPIENT", help="Only for this recipient."),
    "tag": typer.Option("--tag", metavar="TAG", help="Only with this tag."),
    "created_from": typer.Option(
        "--from", metavar="TIME", help="Accepted at or after this time: 2026-11-22T09:00:00Z."
    ),
    "created_before": typer.Option("--before", metavar="TIME", help="Accepted before this time."),
}


def with_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a filter to a command, whose first parameter gets those that were given."""

    @wraps(command)
    def run(**options: Any) -> None:
        named = {name: options.pop(name) for name in FILTER_OPTIONS}
        command({name: value for name, value in named.items() if value is not None}, **options)

    _, *own = signature(command).parameters.values()
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option])
        for name, option in FILTER_OPTIONS.items()
    ]
    parameters = [*added, *(one.replace(kind=Parameter.KEYWORD_ONLY) for one in own)]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def explain(id: NotificationId) -> None:
    """Explain which channels were used and why, the results of provider calls, and current waits."""

    async def work(api: ApiClient) -> None:
        explanation = await api.get(f"/notifications/{await resolve_id(api, id)}/explain")
        for line in _explanation_lines(explanation):
            console.print(line, soft_wrap=True)

    run_with_api(work)


@with_filter
def redrive(
    filter_fields: Json,
    id: OptionalId = None,
    limit: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=10_000, help="Maximum number, oldest first.")
    ] = 1_000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be redriven, and change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also IN_DOUBT notifications, which may have arrived.")
    ] = False,
) -> None:
    """Send failed notifications again: one notification, or all that match a filter."""
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


@with_filter
def failures(filter_fields: Json) -> None:
    """List failures by reason with their count, most frequent first, and one id of each to explain or redrive."""

    async def work(api: ApiClient) -> None:
        for group in await api.list_all("/failures", **filter_fields):
            console.print(_failure_line(group), soft_wrap=True)

    run_with_api(work)


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
