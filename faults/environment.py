"""Build the environment of the processes of a fault run: none of this machine's settings, and no external addresses."""

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from config.sources import PREFIX
from embedded.datadir import DataDir
from embedded.files import generate_api_key, generate_secret, load_or_create_secret
from embedded.ports import free_port
from embedded.stack import CHECKOUT
from testing.vendors.sendgrid import API_KEY, shown
from testing.vendors.twilio import FROM, SID, TOKEN

HOST = "127.0.0.1"
RESUME_RATE, DRAIN = 20.0, 8.0
SENDER = "shop@shop.example"
# Two email providers, one for SMS, and channels that never leave Tocsin's tables.
POOLS = {
    "EMAIL": "sendgrid=50,smtp=50",
    "SMS": "twilio",
    "WEBHOOK": "sandbox",
    "PUSH": "sandbox",
    "WEB_PUSH": "sandbox",
    "CHAT": "sandbox",
}
VENDORS = ("sendgrid", "twilio", "smtp", "control")
SENDGRID_KEY = generate_private_key(SECP256R1())  # signs its events
PROXY_NAMES = ("api to postgres", "workers to postgres", "to temporal")


@dataclass(frozen=True, kw_only=True)
class Ports:
    postgres: int
    temporal: int
    api: int
    vendors: dict[str, int]
    proxies: dict[str, int]

    @classmethod
    def free(cls) -> "Ports":
        taken: list[int] = []
        for _ in range(3 + len(VENDORS) + len(PROXY_NAMES)):
            taken.append(free_port(avoid=taken))
        postgres, temporal, api, *rest = taken
        vendors, proxies = rest[: len(VENDORS)], rest[len(VENDORS) :]
        return cls(
            postgres=postgres,
            temporal=temporal,
            api=api,
            vendors=dict(zip(VENDORS, vendors, strict=True)),
            proxies=dict(zip(PROXY_NAMES, proxies, strict=True)),
        )

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api}"


def api_key(data: DataDir) -> str:
    return load_or_create_secret(data.root / "api_key", generate_api_key)


def environment(data: DataDir, ports: Ports, database_url: str) -> dict[str, str]:
    """Return the whole environment. `database_url` is the server's; processes connect through a proxy."""
    settings = {
        "ENV": "dev",
        "DATA_DIR": str(data.root),
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": f"{HOST}:{ports.proxies['to temporal']}",
        "API_HOST": HOST,
        "API_PORT": str(ports.api),
        "SECRET_KEY": load_or_create_secret(data.root / "secret_key", generate_secret),
        "DEV_API_KEY": api_key(data),
        "RESUME_RATE": f"{RESUME_RATE:g}",
        "DRAIN_TIMEOUT": f"{DRAIN:g}",
        "LOG_LEVEL": "info",
        "WORKERS": "1",
        **{f"{channel}_PROVIDERS": pool for channel, pool in POOLS.items()},
        **accounts(ports),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {f"{PREFIX}{name}": value for name, value in settings.items()}
    return {**clean, **ours, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(CHECKOUT)}


def accounts(ports: Ports) -> dict[str, str]:
    """Return the credentials at the fake vendors."""
    return {
        "SENDGRID_API_KEY": API_KEY,
        "SENDGRID_FROM": SENDER,
        "SENDGRID_BASE_URL": f"http://{HOST}:{ports.vendors['sendgrid']}",
        "SENDGRID_WEBHOOK_PUBLIC_KEY": shown(SENDGRID_KEY),
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_FROM": FROM,
        "TWILIO_BASE_URL": f"http://{HOST}:{ports.vendors['twilio']}",
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(ports.vendors["smtp"]),
        "SMTP_TLS": "none",
        "SMTP_FROM": SENDER,
    }
