"""Build the environment of the processes of a fault run: none of this machine's settings, and no external addresses."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from config.sources import PREFIX
from embedded.datadir import DataDir
from embedded.files import generate_api_key, generate_secret, load_or_create_secret
from embedded.ports import free_port
from embedded.stack import CHECKOUT
from faults.vendor.keys import pem, vendor_keys
from supervision.worker_shares import SLOTS_OF_SEVERAL
from testing.vendors import mailgun, resend, ses, vonage
from testing.vendors.apns import KEY_ID, TEAM_ID, TOPIC
from testing.vendors.fcm import FakeFcm
from testing.vendors.sendgrid import API_KEY, shown
from testing.vendors.twilio import FROM, SID, TOKEN

HOST = "127.0.0.1"
RESUME_RATE, DRAIN = 20.0, 8.0
SENDER = "shop@shop.example"
# Two email providers, and webhooks that never leave Tocsin's tables.
POOLS = {
    "EMAIL": "sendgrid=50,smtp=50",
    "SMS": "twilio",
    "WEBHOOK": "sandbox",
    "PUSH": "fcm,apns",
    "WEB_PUSH": "web_push",
    "CHAT": "chat",
}
VENDORS = (
    *("sendgrid", "twilio", "smtp", "fcm", "apns", "web_push", "chat"),
    *("mailgun", "ses", "resend", "vonage", "control"),
)
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
    def behind_proxies(self) -> dict[str, int]:
        """Return the port of the server behind each proxy."""
        return dict(zip(PROXY_NAMES, (self.postgres, self.postgres, self.temporal), strict=True))

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api}"


def api_key(data: DataDir) -> str:
    return load_or_create_secret(data.root / "api_key", generate_api_key)


def secret_key(data: DataDir) -> str:
    return load_or_create_secret(data.root / "secret_key", generate_secret)


def environment(data: DataDir, ports: Ports, database_url: str) -> dict[str, str]:
    """Return the whole environment. `database_url` is the server's; processes connect through a proxy."""
    settings = {
        "ENV": "dev",
        "DATA_DIR": str(data.root),
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": f"{HOST}:{ports.proxies['to temporal']}",
        "API_HOST": HOST,
        "API_PORT": str(ports.api),
        "SECRET_KEY": secret_key(data),
        "DEV_API_KEY": api_key(data),
        "RESUME_RATE": f"{RESUME_RATE:g}",
        "DRAIN_TIMEOUT": f"{DRAIN:g}",
        "LOG_LEVEL": "info",
        "WORKERS": "1",
        "SLOTS": str(SLOTS_OF_SEVERAL),  # the two workers share the machine, as two processes of one installation
        **{f"{channel}_PROVIDERS": pool for channel, pool in POOLS.items()},
        **accounts(ports),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {f"{PREFIX}{name}": value for name, value in settings.items()}
    return {**clean, **ours, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(CHECKOUT)}


def accounts(ports: Ports) -> dict[str, str]:
    """Return the credentials at the fake vendors."""
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.vendors.items()}
    return {
        **push_accounts(ports),
        **other_accounts(urls),
        "SENDGRID_API_KEY": API_KEY,
        "SENDGRID_FROM": SENDER,
        "SENDGRID_BASE_URL": urls["sendgrid"],
        "SENDGRID_WEBHOOK_PUBLIC_KEY": shown(vendor_keys().sendgrid),
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_FROM": FROM,
        "TWILIO_BASE_URL": urls["twilio"],
        "CHAT_BASE_URL": urls["chat"],
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(ports.vendors["smtp"]),
        "SMTP_TLS": "none",
        "SMTP_FROM": SENDER,
    }


def push_accounts(ports: Ports) -> dict[str, str]:
    fcm = f"http://{HOST}:{ports.vendors['fcm']}"
    return {
        "FCM_CREDENTIALS": json.dumps(FakeFcm(vendor_keys().fcm).account()),
        "FCM_BASE_URL": fcm,
        "FCM_TOKEN_URL": f"{fcm}/token",
        "APNS_TEAM_ID": TEAM_ID,
        "APNS_KEY_ID": KEY_ID,
        "APNS_TOPIC": TOPIC,
        "APNS_PRIVATE_KEY": pem(vendor_keys().apns),
        "APNS_BASE_URL": f"https://{HOST}:{ports.vendors['apns']}",
        "WEB_PUSH_PRIVATE_KEY": vendor_keys().web_push,
        "WEB_PUSH_SUBJECT": "mailto:ops@shop.example",
    }


def other_accounts(urls: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials at vendors that no pool names, until a fault changes the pools."""
    return {
        "MAILGUN_API_KEY": mailgun.API_KEY,
        "MAILGUN_DOMAIN": "shop.example",
        "MAILGUN_FROM": SENDER,
        "MAILGUN_BASE_URL": urls["mailgun"],
        "SES_REGION": ses.REGION,
        "SES_ACCESS_KEY_ID": ses.ACCESS_KEY_ID,
        "SES_SECRET_ACCESS_KEY": ses.SECRET_ACCESS_KEY,
        "SES_FROM": SENDER,
        "SES_BASE_URL": urls["ses"],
        "RESEND_API_KEY": resend.API_KEY,
        "RESEND_FROM": SENDER,
        "RESEND_BASE_URL": urls["resend"],
        "VONAGE_API_KEY": vonage.API_KEY,
        "VONAGE_API_SECRET": vonage.API_SECRET,
        "VONAGE_FROM": vonage.FROM,
        "VONAGE_BASE_URL": urls["vonage"],
        "VONAGE_ACCOUNT_URL": urls["vonage"],
    }
