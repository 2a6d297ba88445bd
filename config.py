"""Typed settings, read once from `TOCSIN_*` variables, `.env` and `TOCSIN_*_FILE`; built by bootstrap only."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from domain.channels import Channel

PREFIX = "TOCSIN_"
PLACEHOLDERS = {"", "change-me", "changeme", "secret", "dev-secret-key"}
DEV_SECRET = "dev-secret-key"  # noqa: S105 - refused outside development

Names = Annotated[list[str], NoDecode]


class SecretFiles(PydanticBaseSettingsSource):
    """`TOCSIN_SECRET_KEY_FILE=/run/secrets/key` sets `SECRET_KEY`; the plain variable wins over the file."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        return (Path(path).read_text().strip() if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """Durations are seconds, rates are per second, ports of 0 mean "pick a free one"."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    env: Literal["dev", "production"] = "production"
    database_url: str = ""
    temporal_address: str = ""
    temporal_namespace: str = "default"
    data_dir: Path = Path(".tocsin")
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

    start_rate: float = Field(0, ge=0)
    idempotency_window: float = Field(86_400, ge=86_400)
    drain_timeout: float = Field(30, gt=0)
    sandbox_rate: float = Field(0, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, SecretFiles(settings_cls)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_means_unset(cls, value: Any, info: Any) -> Any:
        """`TOCSIN_API_PORT=` in a file copied from `.env.example` is the default, not an error."""
        return cls.model_fields[info.field_name].default if value == "" else value

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

    @model_validator(mode="after")
    def _refuse_placeholder_secrets(self) -> "Settings":
        if not self.dev and self.secret_key.get_secret_value() in PLACEHOLDERS:
            raise ValueError("TOCSIN_SECRET_KEY must be set to a secret of your own outside TOCSIN_ENV=dev")
        if not self.dev and self.dev_api_key.get_secret_value():
            raise ValueError("TOCSIN_DEV_API_KEY is for TOCSIN_ENV=dev only")
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
        return float(getattr(self, f"{provider}_rate", 0))

    def pool(self, channel: Channel) -> list[str]:
        """Provider names of a channel, in order of preference; `in_app` always writes inbox rows."""
        if channel is Channel.IN_APP:
            return ["in_app"]
        configured: list[str] = getattr(self, f"{channel}_providers")
        return configured or (["sandbox"] if self.dev else [])
