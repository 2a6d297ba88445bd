"""Define the settings of the connection to Temporal. TLS material and the API key are secrets, TLS material is PEM
text: set them with `*_FILE`."""

from collections.abc import Iterator

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from config.sources import PREFIX, EnvironmentSettings


class TemporalSettings(EnvironmentSettings):
    """An API key or any TLS setting enables TLS."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    temporal_address: str = ""
    temporal_namespace: str = "default"
    temporal_tls: bool | None = None
    temporal_tls_ca: str = ""
    temporal_tls_cert: str = ""
    temporal_tls_key: SecretStr = SecretStr("")
    temporal_tls_server_name: str = ""
    temporal_api_key: SecretStr = SecretStr("")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if bool(self.temporal_tls_cert) is not bool(self.temporal_tls_key.get_secret_value()):
            yield "set TOCSIN_TEMPORAL_TLS_CERT and TOCSIN_TEMPORAL_TLS_KEY together, or neither"
        if self.temporal_tls is False and self._needs_tls:
            yield "TOCSIN_TEMPORAL_TLS=false contradicts TOCSIN_TEMPORAL_API_KEY and TOCSIN_TEMPORAL_TLS_*"
        elif self.temporal_uses_tls and not self.temporal_address:
            yield "TLS and an API key need an external server: set TOCSIN_TEMPORAL_ADDRESS too"

    @property
    def _needs_tls(self) -> bool:
        key = self.temporal_api_key.get_secret_value()
        return bool(key or self.temporal_tls_ca or self.temporal_tls_cert or self.temporal_tls_server_name)

    @property
    def temporal_uses_tls(self) -> bool:
        return self._needs_tls if self.temporal_tls is None else self.temporal_tls
