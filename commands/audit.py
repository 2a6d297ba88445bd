"""List the audit log: `tocsin audit`. Registered by `cli.py`."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from commands.client import ApiClient
from commands.execution import run_with_api
from commands.timeline import time_text
from domain.json_types import Json

console = Console(highlight=False)


def audit(
    since: Annotated[
        str | None,
        typer.Option("--since", "--from", metavar="TIME", help="At or after this time: 2026-11-22T09:00:00Z."),
    ] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="Before this time.")] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="ID", help="Only changes by the key with this id.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="Only this action, such as template.published.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--object",
            "--subject",
            metavar="OBJECT",
            help="Only changes of this object, such as notification_type/news.",
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Entries of this tenant. Needs the scope operate.")
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=1, max=10_000, help="Maximum number of entries.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List configuration changes, newest first: time, actor, action, before and after. Needs the scope manage."""
    filters = {"at_from": since, "at_before": before, "actor_id": actor, "action": action, "subject": subject}

    async def work(api: ApiClient) -> None:
        for entry in await api.list_first("/audit", lines, tenant=tenant, **filters):
            if as_json:
                typer.echo(json.dumps(entry, ensure_ascii=False))
            else:
                console.print(_entry_line(entry), soft_wrap=True)

    run_with_api(work)


def _entry_line(entry: Json) -> str:
    actor = entry["actor"]
    actor_text = " ".join(word for word in (actor["kind"], actor["name"], actor["id"]) if word)
    changes = " → ".join(json.dumps(entry[side], ensure_ascii=False) for side in ("before", "after") if entry[side])
    return escape("  ".join([time_text(entry["at"]), actor_text, entry["action"], entry["subject"], changes]).rstrip())
