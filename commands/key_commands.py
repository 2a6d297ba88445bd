"""`tocsin keys`: API keys and the secret of webhooks. What loads the database is imported by its command."""

from typing import Annotated

import typer

from commands.client import ApiClient
from commands.execution import load_settings, run_and_exit, run_with_api
from commands.local_stack import LocalSettings, local_settings
from config import Settings

key_commands = typer.Typer(no_args_is_help=True, help="API keys, and the secret of webhooks.")

TenantOption = Annotated[str, typer.Option(help="Key of the tenant; see 'tocsin tenants list'.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id or prefix of the key, as 'list' shows them.")]
LifetimeOption = Annotated[
    str | None, typer.Option(help="Such as 90d; without it the key is valid until it is revoked.")
]


@key_commands.command("list")
def list_keys(
    tenant: TenantOption,
    ended: Annotated[bool, typer.Option("--ended", help="Those that were revoked or have expired, instead.")] = False,
) -> None:
    """List keys: id, prefix, name, scopes, last use and expiry. Needs the database, not the API."""
    from commands.keys import list_key_lines

    async def work() -> None:
        for line in await list_key_lines(_load_settings(), tenant, ended=ended):
            typer.echo(line)

    run_and_exit(work())


@key_commands.command("create")
def create_key(
    tenant: TenantOption,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="send, read, manage or operate; may be given several times.")],
    expires_in: LifetimeOption = None,
) -> None:
    """Create an API key and print it, this once. Needs the database, not the API."""
    from commands.keys import create

    async def work() -> None:
        typer.echo(await create(_load_settings(), tenant, name, scope, expires_in))

    run_and_exit(work())


@key_commands.command("rotate")
def rotate_key(
    id: KeyId,
    tenant: TenantOption,
    overlap: Annotated[str, typer.Option(help="How long the former key stays valid, up to 30d; 0 ends it.")] = "1d",
    expires_in: Annotated[
        str | None, typer.Option(help="Of the new key; without it, as long as the former key was to live.")
    ] = None,
) -> None:
    """Create a key with the same name and scopes, and print it, this once. Needs the database, not the API."""
    from commands.keys import rotate

    async def work() -> None:
        typer.echo(await rotate(_load_settings(), tenant, id, overlap, expires_in))

    run_and_exit(work())


@key_commands.command("revoke")
def revoke_key(id: KeyId, tenant: TenantOption) -> None:
    """Revoke a key: within 5 seconds every process refuses it. Needs the database, not the API."""
    from commands.keys import revoke

    async def work() -> None:
        await revoke(_load_settings(), tenant, id)

    run_and_exit(work())


@key_commands.command("webhook-secret")
def show_webhook_secret() -> None:
    """The secret that receivers of your webhooks verify them with; for keys with the scope manage."""

    async def work(api: ApiClient) -> None:
        typer.echo((await api.get("/webhook-secret"))["secret"])

    run_with_api(work)


def _load_settings() -> Settings:
    return load_settings(Settings, **local_settings(load_settings(LocalSettings)))
