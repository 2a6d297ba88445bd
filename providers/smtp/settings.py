"""Define the settings of `smtp`."""

import re
from ipaddress import ip_address
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from config.sources import ProviderSettings

DEFAULT_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
PLAIN_ADDRESS = re.compile(r"[^@\s<>()\[\],;:\\\"]+@[^@\s<>()\[\],;:\\\"]+")
PLAINTEXT_LOGIN_WARNING = "the password crosses the network unencrypted: set TOCSIN_SMTP_TLS to starttls or implicit"


class SmtpSettings(ProviderSettings, env_prefix="TOCSIN_SMTP_"):
    """Hold the settings. `tls` = `starttls` requires STARTTLS; there is no fallback. `port` None selects the usual port
    of `tls`.
    """

    host: str
    port: int | None = Field(None, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str | None = None
    password: SecretStr = SecretStr("")
    sender: str = Field(alias="from")
    from_name: str = ""

    @property
    def effective_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.tls]

    @property
    def has_plaintext_login(self) -> bool:
        """Return whether the password crosses a network unencrypted."""
        return bool(self.username) and self.tls == "none" and not _is_loopback(self.host)

    @field_validator("sender")
    @classmethod
    def _validate_sender(cls, value: str) -> str:
        if not (value.isascii() and PLAIN_ADDRESS.fullmatch(value)):
            raise ValueError("must be an email address, such as shop@example.com")
        return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
