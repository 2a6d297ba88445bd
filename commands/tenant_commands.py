"""`tocsin tenants`: those who share this installation. What loads the database is imported by its command."""

from typing import Annotated

import typer

from commands.execution import load_settings, run_and_exit
from commands.local_stack import LocalSettings, local_settings
from config import Settings

tenant_commands = typer.Typer(no_args_is_help=True, help="Tenants, who see nothing of each other.")
TenantKey = Annotated[str, typer.Argument(metavar="TENANT", help="Its key, as 'list' shows it.")]


@tenant_commands.command("create")
def create_tenant(
    tenant: Annotated[str, typer.Argument(help="Such as acme: what 'keys create --tenant' names it by.")],
    installation: Annotated[
        bool,
        typer.Option("--installation", help="The operator's own, whose keys may have the scope operate."),
    ] = False,
) -> None:
    """Make a tenant, which has nothing yet. Needs the database, not the API."""
    from commands.tenants import create

    async def work() -> None:
        await create(_load_settings(), tenant, installation=installation)

    run_and_exit(work())


@tenant_commands.command("list")
def list_tenants() -> None:
    """All tenants, one a line, with what sets them apart. Needs the database, not the API."""
    from commands.tenants import list_tenant_lines

    async def work() -> None:
        typer.echo("\n".join(await list_tenant_lines(_load_settings())))

    run_and_exit(work())


@tenant_commands.command("suspend")
def suspend_tenant(
    tenant: TenantKey,
    reason: Annotated[str | None, typer.Option(help="Shown in the list of tenants and in the audit log.")] = None,
) -> None:
    """Refuse the tenant's keys within 5 seconds and hold its messages back. Needs the database, not the API."""
    from commands.tenants import suspend

    async def work() -> None:
        await suspend(_load_settings(), tenant, reason)

    run_and_exit(work())


@tenant_commands.command("resume")
def resume_tenant(tenant: TenantKey) -> None:
    """Accept the tenant's keys again and release its messages. Needs the database, not the API."""
    from commands.tenants import resume

    async def work() -> None:
        await resume(_load_settings(), tenant)

    run_and_exit(work())


def _load_settings() -> Settings:
    return load_settings(Settings, **local_settings(load_settings(LocalSettings)))
