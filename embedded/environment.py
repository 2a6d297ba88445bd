"""Build the environment variables of the API and the worker: the settings of this run."""

import os
from dataclasses import dataclass

from config import Settings
from config.sources import PREFIX
from embedded.datadir import DataDir
from embedded.files import generate_api_key, generate_key, generate_key_ring, generate_secret, load_or_create_secret
from embedded.ports import LOOPBACK
from supervision.worker_shares import settings_of_one_worker

METRICS_PORT = "TOCSIN_METRICS_PORT"
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound
# Longer than the sandbox's deadline, short enough to stop
# within 15 s.
DRAIN_TIMEOUT = 8.0
# Files in the data directory.
KEY_RING_FILE, LOOKUP_KEY_FILE = "encryption_keys", "lookup_key"


# Variables of the caller's environment that the servers and Tocsin's processes may need. The others are dropped: they
# may hold keys of other programs.
INHERITED = frozenset(
    ["PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
INHERITED_PREFIXES = ("LC_",)
OWN_PREFIXES = ("PYTHON", PREFIX)


def server_environment() -> dict[str, str]:
    """Return the environment of Postgres and Temporal, without TEMPORAL_*: a profile for another cloud must not
    apply.
    """
    return _inherited(INHERITED_PREFIXES)


def _inherited(prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(prefixes)}


@dataclass(frozen=True, kw_only=True)
class StackSecrets:
    """Hold the secrets, created once per data directory, unless the settings contain them."""

    secret_key: str
    api_key: str
    encryption_keys: str
    lookup_key: str

    @classmethod
    def of(cls, settings: Settings, data_dir: DataDir) -> "StackSecrets":
        secret = settings.secret_key.get_secret_value() or load_or_create_secret(
            data_dir.root / "secret_key", generate_secret
        )
        api_key = settings.dev_api_key.get_secret_value() or load_or_create_secret(
            data_dir.root / "api_key", generate_api_key
        )
        keys = settings.encryption_keys.get_secret_value() or load_or_create_secret(
            data_dir.root / KEY_RING_FILE, generate_key_ring
        )
        lookup = settings.lookup_key.get_secret_value() or load_or_create_secret(
            data_dir.root / LOOKUP_KEY_FILE, generate_key
        )
        return cls(secret_key=secret, api_key=api_key, encryption_keys=keys, lookup_key=lookup)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, kw_only=True)
class StackAddresses:
    """Hold the addresses of the parts of this run."""

    database_url: str
    temporal_address: str
    temporal_ui_url: str
    api_host: str
    api_port: int
    metrics_host: str = LOOPBACK
    metrics_ports: tuple[int, ...] = ()

    @property
    def reachable_host(self) -> str:
        """Return a host name for an API that listens on all addresses."""
        return WILDCARD_HOSTS.get(self.api_host, self.api_host)

    @property
    def api_url(self) -> str:
        return f"http://{_url_host(self.reachable_host)}:{self.api_port}"

    @property
    def worker_metrics_urls(self) -> list[str]:
        host = _url_host(WILDCARD_HOSTS.get(self.metrics_host, self.metrics_host))
        return [f"http://{host}:{port}/metrics" for port in self.metrics_ports]


def child_environment(
    settings: Settings, data_dir: DataDir, addresses: StackAddresses, keys: StackSecrets
) -> dict[str, str]:
    """Return the whole environment of an API or worker. The child itself reads `.env` and `*_FILE` settings."""
    given = settings.model_fields_set
    own = {
        "ENV": "dev",
        "DATA_DIR": str(data_dir.root),
        "DATABASE_URL": addresses.database_url,
        "TEMPORAL_ADDRESS": addresses.temporal_address,
        "TEMPORAL_UI_URL": addresses.temporal_ui_url,
        "API_HOST": addresses.api_host,
        "API_PORT": str(addresses.api_port),
        "PUBLIC_URL": settings.public_url or addresses.api_url,
        "SECRET_KEY": keys.secret_key,
        "DEV_API_KEY": keys.api_key,
        "ENCRYPTION_KEYS": keys.encryption_keys,
        "LOOKUP_KEY": keys.lookup_key,
        "METRICS_PORT": "0",  # the stack assigns a port to each worker
        "DRAIN_TIMEOUT": f"{settings.drain_timeout if 'drain_timeout' in given else DRAIN_TIMEOUT:g}",
    }
    inherited = _inherited(INHERITED_PREFIXES + OWN_PREFIXES)
    return {**inherited, "PYTHONUNBUFFERED": "1", **{f"{PREFIX}{name}": value for name, value in own.items()}}


def metrics_settings(settings: Settings, workers: int) -> dict[str, int]:
    """Return the port for each worker process.

    Processes cannot share a port: the first has the configured one, if any, and the others have free ones.
    """
    first = settings.metrics_port if "metrics_port" in settings.model_fields_set else 0
    further = {f"{METRICS_PORT} of worker-{number}": 0 for number in range(2, workers + 1)}
    return {METRICS_PORT: first, **further}


def worker_environment(settings: Settings, workers: int, metrics_port: int) -> dict[str, str]:
    """Return the additional variables of each of `workers` processes: it runs alone, with its share of the limits."""
    share = settings_of_one_worker(settings, workers)
    own = {
        "METRICS_PORT": metrics_port,
        "WORKERS": share.workers,
        "DATABASE_POOL": share.database_pool,
        "SLOTS": share.slots,
        "START_RATE": share.start_rate,
    }
    return {f"{PREFIX}{name}": f"{value:g}" for name, value in own.items()}
