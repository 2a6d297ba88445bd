"""Define typed settings, read once from `TOCSIN_*` variables, `.env` and `TOCSIN_*_FILE`. Only bootstrap and process
entries read them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from config.encryption import EncryptionSettings
from config.limits import LimitSettings, RateLimitSettings
from config.sms_answers import SmsAnswerSettings
from config.sources import PREFIX, EnvironmentSettings, ProviderSettings
from config.temporal import TemporalSettings
from domain.channels import Channel
from domain.hosts import host_of, is_loopback
from domain.secret_strength import find_weakness
from domain.target_urls import WEB_PORTS, TargetPolicy

VERSION = "0.1.0"
BUILD_ID = f"tocsin-{VERSION}"  # of our workers, in Temporal
TOTAL_WEIGHT = 100
MIN_CONNECTIONS_PER_WORKER = 4  # so that activities and background loops do not wait for each other
MIN_SLOTS = 2
SANDBOX = "sandbox"
SECRET_HINT = "create one with: openssl rand -base64 32"  # noqa: S105 - a command
PLACEHOLDERS = {"", "change-me", "changeme", "secret", "dev-secret-key"}
DEV_SECRET = "dev-secret-key"  # noqa: S105 - rejected outside development

NameList = Annotated[list[str], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]


class ClientSettings(EnvironmentSettings):
    """Settings of the commands, to find the API and the database. A client machine has no others."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    api_url: str = ""
    api_key: SecretStr = SecretStr("")
    data_dir: Path = Path(".tocsin")
    database_url: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _replace_empty_by_default(cls, value: Any, info: Any) -> Any:
        """Replace an empty value by the default, as for `TOCSIN_API_PORT=` in a copy of `.env.example`."""
        return cls.model_fields[info.field_name].default if value == "" else value


class Settings(ClientSettings, TemporalSettings, LimitSettings, EncryptionSettings, SmsAnswerSettings):
    """Durations are in seconds, rates per second. Port 0 picks a free port."""

    env: Literal["dev", "production"] = "production"
    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    postgres_port: int = Field(5433, ge=0, le=65535)
    temporal_port: int = Field(7233, ge=0, le=65535)
    temporal_ui_port: int = Field(8233, ge=0, le=65535)
    temporal_ui_url: str = ""
    public_url: str = ""
    secret_key: SecretStr = SecretStr("")
    dev_api_key: SecretStr = SecretStr("")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    email_providers: NameList = []
    sms_providers: NameList = []
    push_providers: NameList = []
    web_push_providers: NameList = []
    webhook_providers: NameList = []
    chat_providers: NameList = []

    slots: int = Field(0, ge=0)
    urgent_burst: int = Field(100, ge=1)
    start_rate: float = Field(0, ge=0)
    resume_rate: float = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    hold_on_start: str = ""
    database_pool: int = Field(40, ge=MIN_CONNECTIONS_PER_WORKER)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(9464, ge=0, le=65535)
    idempotency_window: float = Field(86_400, ge=86_400)
    attachment_days: int = Field(7, ge=1, le=3650)
    drain_timeout: float = Field(30, gt=0)
    liveness_path: Path | None = None
    allow_sandbox: bool = False
    sandbox_rate: float = Field(0, ge=0)
    webhook_allow_private: bool | None = None
    webhook_ports: Annotated[list[Port], NoDecode] = []

    @field_validator(
        "email_providers",
        "sms_providers",
        "push_providers",
        "web_push_providers",
        "webhook_providers",
        "chat_providers",
        "webhook_ports",
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator(
        "email_providers",
        "sms_providers",
        "push_providers",
        "web_push_providers",
        "webhook_providers",
        "chat_providers",
    )
    @classmethod
    def _validate_weights(cls, value: list[str]) -> list[str]:
        """Check weights such as `sendgrid=70,smtp=30`: either all providers of a pool have one, or none."""
        points = [weight for _, sign, weight in (member.partition("=") for member in value) if sign]
        if any(not (weight.isdigit() and int(weight) <= TOTAL_WEIGHT) for weight in points):
            raise ValueError("weights must be whole numbers from 0 to 100, such as sendgrid=70,smtp=30")
        if len(points) not in (0, len(value)):
            raise ValueError("either every provider of a pool must have a weight, or none")
        return value

    @field_validator("database_url")
    @classmethod
    def _use_async_driver(cls, value: str) -> str:
        """Replace the scheme `postgresql://` by that of the asynchronous driver."""
        scheme, separator, rest = value.partition("://")
        return f"postgresql+asyncpg://{rest}" if separator and scheme in ("postgres", "postgresql") else value

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if not self.is_dev:
            yield from self._production_problems()
        if self.database_pool < (needed := self.workers * MIN_CONNECTIONS_PER_WORKER):
            yield (
                f"TOCSIN_DATABASE_POOL={self.database_pool} is too small for TOCSIN_WORKERS={self.workers}; "
                f"set at least {needed}, {MIN_CONNECTIONS_PER_WORKER} for each worker process"
            )

    def _production_problems(self) -> Iterator[str]:
        secret = self.secret_key.get_secret_value()
        if secret in PLACEHOLDERS:
            yield f"TOCSIN_SECRET_KEY must be set to a secret of your own outside TOCSIN_ENV=dev; {SECRET_HINT}"
        elif found := find_weakness(secret):
            yield f"TOCSIN_SECRET_KEY {found}; {SECRET_HINT}"
        if missing := self.missing_keys:
            yield f"{' and '.join(missing)} must be set outside TOCSIN_ENV=dev; see docs/encryption.md"
        if self.dev_api_key.get_secret_value():
            yield "TOCSIN_DEV_API_KEY is for TOCSIN_ENV=dev only; remove it"
        pools = [f"TOCSIN_{channel.upper()}_PROVIDERS" for channel in Channel if SANDBOX in self.weights(channel)]
        if pools and not self.allow_sandbox:
            yield (
                f"{', '.join(pools)}: the sandbox delivers nothing; name a provider instead, or set "
                "TOCSIN_ALLOW_SANDBOX=true"
            )

    @property
    def is_dev(self) -> bool:
        return self.env == "dev"

    @property
    def rate_limits(self) -> RateLimitSettings:
        """The rate limits as set. Defaults apply except in development, where there are none."""
        usual = RateLimitSettings(key=0, tenant=0, source=0) if self.is_dev else RateLimitSettings()
        return RateLimitSettings(
            key=usual.key if self.key_rate_limit is None else self.key_rate_limit,
            tenant=usual.tenant if self.tenant_rate_limit is None else self.tenant_rate_limit,
            source=usual.source if self.source_rate_limit is None else self.source_rate_limit,
        )

    @property
    def secret(self) -> bytes:
        return (self.secret_key.get_secret_value() or DEV_SECRET).encode()

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.api_host}:{self.api_port}"

    def rate(self, provider: str) -> float:
        """Return the calls per second of a provider, over all workers; 0 is no limit."""
        given: float | None = getattr(self, f"{provider}_rate", None)
        return ProviderSettings.of(provider).rate if given is None else given

    @property
    def targets(self) -> TargetPolicy:
        """The allowed targets of webhooks. In development they include private addresses and any port, unless set."""
        public = host_of(urlsplit(self.public_url).netloc)
        return TargetPolicy(
            private=self.is_dev if self.webhook_allow_private is None else self.webhook_allow_private,
            ports=frozenset(self.webhook_ports or (() if self.is_dev else WEB_PORTS)),
            own_host="" if is_loopback(public) else public,
            own_port=self.api_port,
        )

    def pool(self, channel: Channel) -> list[str]:
        """Return the provider names of a channel, in order of preference. `in_app` always writes inbox rows."""
        return list(self.weights(channel))

    def weights(self, channel: Channel) -> dict[str, int]:
        """Return the weight of each provider of a channel. Without weights the first provider has all traffic and the
        others are standby."""
        if channel is Channel.IN_APP:
            return {"in_app": TOTAL_WEIGHT}
        configured: list[str] = getattr(self, f"{channel}_providers") or ([SANDBOX] if self.is_dev else [])
        members = [member.partition("=") for member in configured]
        default_points = [TOTAL_WEIGHT, *[0] * len(members)]
        return {name: int(weight or points) for (name, _, weight), points in zip(members, default_points, strict=False)}


class ServerSettings(Settings):
    """Settings of the API and the workers, which other machines may reach."""

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (
            self.is_dev
            and self.secret_key.get_secret_value() in PLACEHOLDERS
            and not is_loopback(self.api_host.lower())
        ):
            yield (
                "TOCSIN_ENV=dev with TOCSIN_API_HOST open to other machines and the built-in TOCSIN_SECRET_KEY: "
                f"they could sign links and receipts. Set TOCSIN_API_HOST=127.0.0.1, or a secret; {SECRET_HINT}"
            )
