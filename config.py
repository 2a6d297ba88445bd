"""Typed settings, read once from `TOCSIN_*` variables, `.env` and `TOCSIN_*_FILE`; built by bootstrap only."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from config_sources import PREFIX, ProviderSettings, Sourced
from config_temporal import TemporalSettings
from domain.channels import Channel

VERSION = "0.1.0"
ALL_POINTS = 100
CONNECTIONS_OF_ONE_WORKER = 4  # at least: its activities and its loops must not wait for each other
FEWEST_SLOTS = 2
PLACEHOLDERS = {"", "change-me", "changeme", "secret", "dev-secret-key"}
DEV_SECRET = "dev-secret-key"  # noqa: S105 - refused outside development

Names = Annotated[list[str], NoDecode]


class ClientSettings(Sourced):
    """Where the commands find what they talk to; a laptop has no other settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    api_url: str = ""
    api_key: SecretStr = SecretStr("")
    data_dir: Path = Path(".tocsin")
    database_url: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_means_unset(cls, value: Any, info: Any) -> Any:
        """`TOCSIN_API_PORT=` in a file copied from `.env.example` is the default, not an error."""
        return cls.model_fields[info.field_name].default if value == "" else value


class Settings(ClientSettings, TemporalSettings):
    """Durations are seconds, rates are per second, ports of 0 mean "pick a free one"."""

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

    email_providers: Names = []
    sms_providers: Names = []
    push_providers: Names = []
    web_push_providers: Names = []
    webhook_providers: Names = []

    slots: int = Field(0, ge=0)
    urgent_burst: int = Field(100, ge=1)
    start_rate: float = Field(0, ge=0)
    resume_rate: float = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    hold_on_start: str = ""
    database_pool: int = Field(40, ge=CONNECTIONS_OF_ONE_WORKER)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(9464, ge=0, le=65535)
    idempotency_window: float = Field(86_400, ge=86_400)
    drain_timeout: float = Field(30, gt=0)
    liveness_path: Path | None = None
    sandbox_rate: float = Field(0, ge=0)
    webhook_allow_private: bool | None = None

    @field_validator(
        "email_providers",
        "sms_providers",
        "push_providers",
        "web_push_providers",
        "webhook_providers",
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("email_providers", "sms_providers", "push_providers", "web_push_providers", "webhook_providers")
    @classmethod
    def _weights_are_points(cls, value: list[str]) -> list[str]:
        """`sendgrid=70,smtp=30`: points for all of a pool, or for none."""
        points = [weight for _, sign, weight in (member.partition("=") for member in value) if sign]
        if any(not (weight.isdigit() and int(weight) <= ALL_POINTS) for weight in points):
            raise ValueError("weights are whole numbers from 0 to 100, as in sendgrid=70,smtp=30")
        if len(points) not in (0, len(value)):
            raise ValueError("give every provider of a pool a weight, or none")
        return value

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: str) -> str:
        """People write `postgresql://`, as everywhere; ours is the asynchronous driver."""
        scheme, separator, rest = value.partition("://")
        return f"postgresql+asyncpg://{rest}" if separator and scheme in ("postgres", "postgresql") else value

    @model_validator(mode="after")
    def _refuse_placeholder_secrets(self) -> "Settings":
        if not self.dev and self.secret_key.get_secret_value() in PLACEHOLDERS:
            raise ValueError("TOCSIN_SECRET_KEY must be set to a secret of your own outside TOCSIN_ENV=dev")
        if not self.dev and self.dev_api_key.get_secret_value():
            raise ValueError("TOCSIN_DEV_API_KEY is for TOCSIN_ENV=dev only")
        return self

    @model_validator(mode="after")
    def _workers_share_connections(self) -> "Settings":
        if self.database_pool < (needed := self.workers * CONNECTIONS_OF_ONE_WORKER):
            raise ValueError(
                f"TOCSIN_DATABASE_POOL={self.database_pool} is too small for TOCSIN_WORKERS={self.workers}; "
                f"set at least {needed}, {CONNECTIONS_OF_ONE_WORKER} for each worker process"
            )
        return self

    @property
    def dev(self) -> bool:
        return self.env == "dev"

    @property
    def secret(self) -> bytes:
        return (self.secret_key.get_secret_value() or DEV_SECRET).encode()

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.api_host}:{self.api_port}"

    def rate(self, provider: str) -> float:
        """Calls per second that a provider takes, over all workers; 0 is no limit."""
        given: float | None = getattr(self, f"{provider}_rate", None)
        return ProviderSettings.of(provider).rate if given is None else given

    @property
    def private_webhooks(self) -> bool:
        """Whether webhooks may go to private addresses: in development, unless it is set."""
        return self.dev if self.webhook_allow_private is None else self.webhook_allow_private

    def pool(self, channel: Channel) -> list[str]:
        """Provider names of a channel, in order of preference; `in_app` always writes inbox rows."""
        return list(self.weights(channel))

    def weights(self, channel: Channel) -> dict[str, int]:
        """Points of each provider of a channel; without any the first takes all and the others stand by."""
        if channel is Channel.IN_APP:
            return {"in_app": ALL_POINTS}
        configured: list[str] = getattr(self, f"{channel}_providers") or (["sandbox"] if self.dev else [])
        members = [member.partition("=") for member in configured]
        standing_by = [ALL_POINTS, *[0] * len(members)]
        return {name: int(weight or points) for (name, _, weight), points in zip(members, standing_by, strict=False)}
