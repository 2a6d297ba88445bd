"""Settings of the connection to Temporal. TLS material and the key are PEM text and secrets: set them by `*_FILE`."""

from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from config_sources import PREFIX, Sourced


class TemporalSettings(Sourced):
    """An API key or any of the TLS settings switches TLS on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    temporal_address: str = ""
    temporal_namespace: str = "default"
    temporal_tls: bool | None = None
    temporal_tls_ca: str = ""
    temporal_tls_cert: str = ""
    temporal_tls_key: SecretStr = SecretStr("")
    temporal_tls_server_name: str = ""
    temporal_api_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _tls_settings_agree(self) -> Self:
        if bool(self.temporal_tls_cert) is not bool(self.temporal_tls_key.get_secret_value()):
            raise ValueError("set TOCSIN_TEMPORAL_TLS_CERT and TOCSIN_TEMPORAL_TLS_KEY together, or neither")
        if self.temporal_tls is False and self._needs_tls:
            raise ValueError("TOCSIN_TEMPORAL_TLS=false contradicts TOCSIN_TEMPORAL_API_KEY and TOCSIN_TEMPORAL_TLS_*")
        if self.temporal_uses_tls and not self.temporal_address:
            raise ValueError("TLS and an API key are for a server of yours: set TOCSIN_TEMPORAL_ADDRESS too")
        return self

    @property
    def _needs_tls(self) -> bool:
        key = self.temporal_api_key.get_secret_value()
        return bool(key or self.temporal_tls_ca or self.temporal_tls_cert or self.temporal_tls_server_name)

    @property
    def temporal_uses_tls(self) -> bool:
        return self._needs_tls if self.temporal_tls is None else self.temporal_tls
