"""Find the stack that `make run` started on this machine, and its settings. Used by commands with and without the
API."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from commands.errors import CommandError
from config import ClientSettings
from embedded.datadir import DataDir
from embedded.runfile import RunInfo

CHECKOUT = Path(__file__).resolve().parent.parent
REMOTE_API_SETTINGS = "TOCSIN_API_URL and TOCSIN_API_KEY"


class LocalSettings(ClientSettings):
    """Settings that show whether this machine is a server, and how providers reach it."""

    env: str = ""
    public_url: str = ""
    secret_key: SecretStr = SecretStr("")
    encryption_keys: SecretStr = SecretStr("")
    lookup_key: SecretStr = SecretStr("")


def data_dirs(settings: ClientSettings) -> Iterator[DataDir]:
    """Yield the data directory of the settings, or that of the current directory and then that of the checkout, which
    `make run` uses."""
    yield DataDir.at(settings.data_dir)
    if "data_dir" not in settings.model_fields_set and Path.cwd() != CHECKOUT:
        yield DataDir.at(CHECKOUT / settings.data_dir)


def find_running_stack(settings: ClientSettings) -> RunInfo | None:
    for data_dir in data_dirs(settings):
        try:
            return RunInfo.read(data_dir.run_file)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise CommandError(f"{error.filename} belongs to another user; set {REMOTE_API_SETTINGS}") from None
    return None


def not_running_error(settings: ClientSettings) -> CommandError:
    where = " or ".join(str(data_dir.root) for data_dir in data_dirs(settings))
    return CommandError(f"no stack is running in {where}; start it with 'make run', or set {REMOTE_API_SETTINGS}")


def local_settings(given: LocalSettings) -> dict[str, str]:
    """Return the settings of the local stack, for commands that do not use its API. Empty if a database is set."""
    run = None if given.database_url else find_running_stack(given)
    if run is None:
        return {}
    return {"env": "dev", "database_url": run.database_url, "public_url": given.public_url or run.api_url}


def local_encryption_keys(given: LocalSettings) -> dict[str, str]:
    """Return the encryption keys that `make run` created, if the settings have none."""
    names = [name for name in ("encryption_keys", "lookup_key") if not getattr(given, name).get_secret_value()]
    for data_dir in data_dirs(given):
        found = {name: path.read_text().strip() for name in names if (path := data_dir.root / name).exists()}
        if found:
            return found
    return {}


def local_or_dev_settings(given: LocalSettings) -> dict[str, str]:
    """Return settings for commands that sign nothing. Without settings of a server, assume development."""
    server = given.env or given.secret_key.get_secret_value()
    return local_settings(given) or ({} if server else {"env": "dev"})
