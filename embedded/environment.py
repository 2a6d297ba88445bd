"""What the API and the worker are told: the settings of this run, as environment variables."""

import os
from dataclasses import dataclass

from config import Settings
from config_sources import PREFIX
from embedded.datadir import DataDir
from embedded.files import kept_secret, new_api_key, new_key, new_key_ring, new_secret
from embedded.ports import LOOPBACK
from supervision import of_one_worker

METRICS_PORT = "TOCSIN_METRICS_PORT"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound
# Quick enough for a person who tries a broadcast, slow enough for a laptop.
# Longer than the sandbox's own deadline, short enough to stop within 15 s.
DRAIN_TIMEOUT = 8.0
# Files in the data directory.
KEY_RING, LOOKUP_KEY = "encryption_keys", "lookup_key"


# What the servers and our own processes may need of the environment in which `make run` was called. The rest stays
# behind: it may hold keys of other programs.
INHERITED = frozenset(
    ["PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
INHERITED_PREFIXES = ("LC_",)
OWN_PREFIXES = ("PYTHON", PREFIX)


def server_environment() -> dict[str, str]:
    """Return what Postgres and Temporal inherit. No TEMPORAL_*: a profile for another cloud must not reach them."""
    return _inherited(INHERITED_PREFIXES)


def _inherited(prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(prefixes)}


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Secrets made once per data directory, unless the settings bring their own."""

    secret_key: str
    api_key: str
    encryption_keys: str
    lookup_key: str

    @classmethod
    def of(cls, settings: Settings, data_dir: DataDir) -> "Keys":
        secret = settings.secret_key.get_secret_value() or kept_secret(data_dir.root / "secret_key", new_secret)
        api_key = settings.dev_api_key.get_secret_value() or kept_secret(data_dir.root / "api_key", new_api_key)
        keys = settings.encryption_keys.get_secret_value() or kept_secret(data_dir.root / KEY_RING, new_key_ring)
        lookup = settings.lookup_key.get_secret_value() or kept_secret(data_dir.root / LOOKUP_KEY, new_key)
        return cls(secret_key=secret, api_key=api_key, encryption_keys=keys, lookup_key=lookup)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the parts of this run answer."""

    database_url: str
    temporal_address: str
    temporal_ui_url: str
    api_host: str
    api_port: int
    metrics_host: str = LOOPBACK
    metrics_ports: tuple[int, ...] = ()

    @property
    def reachable_host(self) -> str:
        """Where this machine reaches an API that listens everywhere."""
        return WILDCARDS.get(self.api_host, self.api_host)

    @property
    def api_url(self) -> str:
        return f"http://{_in_url(self.reachable_host)}:{self.api_port}"

    @property
    def worker_metrics_urls(self) -> list[str]:
        host = _in_url(WILDCARDS.get(self.metrics_host, self.metrics_host))
        return [f"http://{host}:{port}/metrics" for port in self.metrics_ports]


def child_environment(settings: Settings, data_dir: DataDir, places: Places, keys: Keys) -> dict[str, str]:
    """The whole environment of an API or worker; `.env` and `*_FILE` settings are read by the child itself."""
    given = settings.model_fields_set
    own = {
        "ENV": "dev",
        "DATA_DIR": str(data_dir.root),
        "DATABASE_URL": places.database_url,
        "TEMPORAL_ADDRESS": places.temporal_address,
        "TEMPORAL_UI_URL": places.temporal_ui_url,
        "API_HOST": places.api_host,
        "API_PORT": str(places.api_port),
        "PUBLIC_URL": settings.public_url or places.api_url,
        "SECRET_KEY": keys.secret_key,
        "DEV_API_KEY": keys.api_key,
        "ENCRYPTION_KEYS": keys.encryption_keys,
        "LOOKUP_KEY": keys.lookup_key,
        "METRICS_PORT": "0",  # the stack gives each of its workers a port of its own
        "DRAIN_TIMEOUT": f"{settings.drain_timeout if 'drain_timeout' in given else DRAIN_TIMEOUT:g}",
    }
    inherited = _inherited(INHERITED_PREFIXES + OWN_PREFIXES)
    return {**inherited, "PYTHONUNBUFFERED": "1", **{f"{PREFIX}{name}": value for name, value in own.items()}}


def metrics_settings(settings: Settings, workers: int) -> dict[str, int]:
    """Return the port that each worker process asks for. They are processes of their own and cannot have one port: the
    first has the one that is set, if any, and the others have free ones."""
    first = settings.metrics_port if "metrics_port" in settings.model_fields_set else 0
    further = {f"{METRICS_PORT} of worker-{number}": 0 for number in range(2, workers + 1)}
    return {METRICS_PORT: first, **further}


def worker_environment(settings: Settings, workers: int, metrics_port: int) -> dict[str, str]:
    """What each of so many worker processes is told besides: it is a single one, with its share."""
    share = of_one_worker(settings, workers)
    own = {
        "METRICS_PORT": metrics_port,
        "WORKERS": share.workers,
        "DATABASE_POOL": share.database_pool,
        "SLOTS": share.slots,
        "START_RATE": share.start_rate,
    }
    return {f"{PREFIX}{name}": f"{value:g}" for name, value in own.items()}
