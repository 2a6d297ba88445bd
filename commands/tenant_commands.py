"""Manage the tenants of this installation: `tocsin tenants`. Each command imports what loads the database."""

from typing import Annotated

import typer

from commands.execution import run_with_database

tenant_commands = typer.Typer(no_args_is_help=True, help="Tenants, which are isolated from each other.")
TenantKey = Annotated[str, typer.Argument(metavar="TENANT", help="Key of the tenant, as shown by 'list'.")]


@tenant_commands.command("create")
def create_tenant(
    tenant: Annotated[
        str,
        typer.Argument(metavar="TENANT", help="Key of the new tenant, such as acme. 'keys create --tenant' uses it."),
    ],
    installation: Annotated[
        bool,
        typer.Option(
            "--installation", help="Make it the installation's own tenant, whose keys may have the scope operate."
        ),
    ] = False,
) -> None:
    """Create a tenant without keys, types and templates. Needs the database, not the API."""
    from commands.tenants import create

    run_with_database(lambda settings: create(settings, tenant, installation=installation))


@tenant_commands.command("list")
def list_tenants() -> None:
    """List all tenants, one per line, with their state. Needs the database, not the API."""
    from commands.tenants import list_tenant_lines

    run_with_database(list_tenant_lines)


@tenant_commands.command("suspend")
def suspend_tenant(
    tenant: TenantKey,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Shown in the list of tenants and in the audit log.")
    ] = None,
) -> None:
    """Suspend a tenant: its keys get 403 within 5 seconds, its messages are held. Needs the database, not the API."""
    from commands.tenants import suspend

    run_with_database(lambda settings: suspend(settings, tenant, reason))


@tenant_commands.command("resume")
def resume_tenant(tenant: TenantKey) -> None:
    """Resume a tenant: its keys are accepted and its messages released. Needs the database, not the API."""
    from commands.tenants import resume

    run_with_database(lambda settings: resume(settings, tenant))


@tenant_commands.command("email-domains")
def set_email_domains(
    tenant: TenantKey,
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="DOMAINS", help="The domains; without any the tenant has none.")
    ] = None,
) -> None:
    """Set the domains of a tenant's senders and reply addresses. Needs the database, not the API."""
    from commands.tenants import set_email_domains as set_domains

    run_with_database(lambda settings: set_domains(settings, tenant, domains or []))
