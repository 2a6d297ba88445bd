"""Manage API keys, show the webhook secret and create keys of web push: `tocsin keys`.

Each command imports what it needs, such as the database.
"""

from typing import Annotated

import typer

from commands.client import ApiClient
from commands.execution import run_with_api, run_with_database

key_commands = typer.Typer(no_args_is_help=True, help="API keys, the webhook secret and keys of web push.")

TenantOption = Annotated[
    str, typer.Option(metavar="TENANT", help="Key of the tenant, as shown by 'tocsin tenants list'.")
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id or prefix of the key, as shown by 'list'.")]
LifetimeOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Lifetime such as 90d. By default the key is valid until it is revoked."),
]


@key_commands.command("list")
def list_keys(
    tenant: TenantOption,
    ended: Annotated[bool, typer.Option("--ended", help="List revoked and expired keys instead.")] = False,
) -> None:
    """List keys: id, prefix, name, scopes, last use and expiry. Needs the database, not the API."""
    from commands.keys import list_key_lines

    run_with_database(lambda settings: list_key_lines(settings, tenant, ended=ended))


@key_commands.command("create")
def create_key(
    tenant: TenantOption,
    name: Annotated[str, typer.Option(metavar="NAME", help="Purpose of the key.")],
    scope: Annotated[list[str], typer.Option(metavar="SCOPE", help="send, read, manage or operate. Can be repeated.")],
    expires_in: LifetimeOption = None,
) -> None:
    """Create an API key and print it; it cannot be shown again. Needs the database, not the API."""
    from commands.keys import create

    run_with_database(lambda settings: create(settings, tenant, name, scope, expires_in))


@key_commands.command("rotate")
def rotate_key(
    id: KeyId,
    tenant: TenantOption,
    overlap: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How long the former key stays valid, at most 30d. 0 ends it at once."),
    ] = ("1d"),
    expires_in: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Lifetime of the new key. By default that of the former key.")
    ] = None,
) -> None:
    """Create a key with the same name and scopes and print it. Needs the database, not the API."""
    from commands.keys import rotate

    run_with_database(lambda settings: rotate(settings, tenant, id, overlap, expires_in))


@key_commands.command("revoke")
def revoke_key(id: KeyId, tenant: TenantOption) -> None:
    """Revoke a key. Every process refuses it within 5 seconds. Needs the database, not the API."""
    from commands.keys import revoke

    run_with_database(lambda settings: revoke(settings, tenant, id))


@key_commands.command("webhook-secret")
def show_webhook_secret() -> None:
    """Show the secret that your webhook receivers verify with. Needs a key with the scope manage."""

    async def work(api: ApiClient) -> None:
        typer.echo((await api.get("/webhook-secret"))["secret"])

    run_with_api(work)


@key_commands.command("vapid")
def create_vapid_keys() -> None:
    """Create a key pair for web push and print it as settings. Needs no server and stores nothing."""
    from providers.web_push.vapid import load_private_key, new_private_key, public_key_of

    private_key = new_private_key()
    typer.echo(f"TOCSIN_WEB_PUSH_PRIVATE_KEY={private_key}")
    typer.echo(f"# Public key, with which browsers subscribe: {public_key_of(load_private_key(private_key))}")
