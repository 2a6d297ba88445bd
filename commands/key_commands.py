"""`tocsin keys`: API keys and the secret of webhooks. What loads the database is imported by its command."""

from typing import Annotated

import typer

from commands.client import Api
from commands.ending import finish, load, talk
from commands.here import Given, local
from config import Settings

key_commands = typer.Typer(no_args_is_help=True, help="API keys, and the secret of webhooks.")

Tenant = Annotated[str, typer.Option(help="Key of the tenant; see 'tocsin tenants list'.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id or prefix of the key, as 'list' shows them.")]
Lifetime = Annotated[str | None, typer.Option(help="Such as 90d; without it the key is valid until it is revoked.")]


@key_commands.command("list")
def list_keys(
    tenant: Tenant,
    ended: Annotated[bool, typer.Option("--ended", help="Those that were revoked or have expired, instead.")] = False,
) -> None:
    """List keys: id, prefix, name, scopes, last use and expiry. Needs the database, not the API."""
    from commands.keys import every

    async def work() -> None:
        for line in await every(_settings(), tenant, ended=ended):
            typer.echo(line)

    finish(work())


@key_commands.command("create")
def create_key(
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="send, read, manage or operate; may be given several times.")],
    expires_in: Lifetime = None,
) -> None:
    """Create an API key and print it, this once. Needs the database, not the API."""
    from commands.keys import create

    async def work() -> None:
        typer.echo(await create(_settings(), tenant, name, scope, expires_in))

    finish(work())


@key_commands.command("rotate")
def rotate_key(
    id: KeyId,
    tenant: Tenant,
    overlap: Annotated[str, typer.Option(help="How long the former key stays valid, up to 30d; 0 ends it.")] = "1d",
    expires_in: Annotated[
        str | None, typer.Option(help="Of the new key; without it, as long as the former key was to live.")
    ] = None,
) -> None:
    """Create a key with the same name and scopes, and print it, this once. Needs the database, not the API."""
    from commands.keys import rotate

    async def work() -> None:
        typer.echo(await rotate(_settings(), tenant, id, overlap, expires_in))

    finish(work())


@key_commands.command("revoke")
def revoke_key(id: KeyId, tenant: Tenant) -> None:
    """Revoke a key: within 5 seconds every process refuses it. Needs the database, not the API."""
    from commands.keys import revoke

    async def work() -> None:
        await revoke(_settings(), tenant, id)

    finish(work())


@key_commands.command("webhook-secret")
def webhook_secret() -> None:
    """The secret that receivers of your webhooks verify them with; for keys with the scope manage."""

    async def work(api: Api) -> None:
        typer.echo((await api.get("/webhook-secret"))["secret"])

    talk(work)


def _settings() -> Settings:
    return load(Settings, **local(load(Given)))
