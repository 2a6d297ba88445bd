"""Define settings that protect the API from clients that send too much or too slowly."""

from dataclasses import dataclass
from ipaddress import ip_network

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from config.sources import PREFIX, EnvironmentSettings

# Loopback, private and shared addresses. Clients on the internet do not have them, reverse proxies usually do.
PRIVATE_NETWORKS = (
    "127.0.0.0/8,10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,::1/128,fc00::/7,fe80::/10"
)


@dataclass(frozen=True, kw_only=True)
class RateLimitSettings:
    """Points per minute; 0 is no limit."""

    key: int = 60_000
    tenant: int = 120_000
    source: int = 600


class LimitSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX)

    api_connections: int = Field(2_000, ge=10)
    api_connections_per_source: int = Field(100, ge=0)
    trusted_proxies: str = PRIVATE_NETWORKS
    header_timeout: float = Field(10, gt=0)
    body_timeout: float = Field(30, gt=0)
    keep_alive_timeout: int = Field(75, ge=1)
    key_rate_limit: int | None = Field(None, ge=0)
    tenant_rate_limit: int | None = Field(None, ge=0)
    source_rate_limit: int | None = Field(None, ge=0)
    rate_limit_store: SecretStr = SecretStr("")
    attachment_bytes_per_tenant: int = Field(1_000_000_000, ge=0)

    @field_validator("trusted_proxies")
    @classmethod
    def _validate_networks(cls, value: str) -> str:
        for name in _split(value):
            try:
                ip_network(name)
            except ValueError:
                raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None
        return value

    @field_validator("rate_limit_store")
    @classmethod
    def _validate_redis_url(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("redis://", "rediss://")) and value.get_secret_value():
            raise ValueError("must be a URL such as redis://host:6379/0")
        return value

    @property
    def trusted_networks(self) -> tuple[str, ...]:
        return _split(self.trusted_proxies)


def _split(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())
