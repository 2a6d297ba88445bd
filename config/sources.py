"""Read settings from the environment, `.env` and `TOCSIN_*_FILE`, including those of each provider."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "TOCSIN_"


class InvalidSettings(ValueError):
    """`lines` has a sentence for each missing or invalid setting. None quotes a value."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class SecretFileSource(PydanticBaseSettingsSource):
    """Read `SECRET_KEY` from the file named by `TOCSIN_SECRET_KEY_FILE=/run/secrets/key`. The plain variable has
    precedence.

    `values` are the variables of environment and `.env`, in lower case.
    """

    def __init__(self, settings_cls: type[BaseSettings], prefix: str, values: Mapping[str, str | None]) -> None:
        super().__init__(settings_cls)
        self._prefix = prefix
        self._values = values

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        name = field.alias or field_name
        variable = f"{self._prefix}{name}_FILE"
        path = self._values.get(variable.lower())
        return (self._read(variable.upper(), path) if path else None), name, False

    def _read(self, variable: str, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise InvalidSettings(f"{variable}: {path} cannot be read") from None

    def __call__(self) -> dict[str, Any]:
        found = [self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items()]
        return {name: value for value, name, _ in found if value is not None}


class EnvironmentSettings(BaseSettings):
    """Sources in order: arguments, environment, `.env`, `*_FILE` (named in environment or `.env`). Errors quote no
    value."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        values = {**getattr(dotenv_settings, "env_vars", {}), **getattr(env_settings, "env_vars", {})}
        files = SecretFileSource(settings_cls, getattr(env_settings, "env_prefix", PREFIX), values)
        return init_settings, env_settings, dotenv_settings, files

    def problems(self) -> Iterator[str]:
        """Yield a sentence with the fix for each violated rule of several settings. None quotes a value."""
        yield from ()

    @model_validator(mode="after")
    def _reject_problems(self) -> Self:
        if found := "\n".join(self.problems()):
            raise ValueError(found)
        return self

    @classmethod
    def read(cls, **given: Any) -> Self:
        """Read the settings. Raise InvalidSettings with all problems."""
        try:
            return cls(**given)
        except ValidationError as error:
            prefix = given.get("_env_prefix") or str(cls.model_config.get("env_prefix"))
            raise InvalidSettings(*_error_lines(prefix, error), *cls._further_problems(error, given)) from None

    @classmethod
    def _further_problems(cls, error: ValidationError, given: Mapping[str, Any]) -> list[str]:
        """Return violated rules of several settings. Validation skips them if a value is invalid, so validate again
        with its default."""
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]} & cls.model_fields.keys()
        defaults = {name: cls.model_fields[name].get_default() for name in wrong}
        if not wrong or any(cls.model_fields[name].is_required() for name in wrong):
            return []
        try:
            cls(**{**given, **defaults})
        except ValidationError as further:
            return _error_lines("", further)
        return []


def _error_lines(prefix: str, error: ValidationError) -> list[str]:
    return [line for each in error.errors() for line in _error_text(prefix, each).splitlines()]


def _error_text(prefix: str, error: Any) -> str:
    """Return the error with its variable. A rule of several settings names its variables itself."""
    values = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(values)
    variable = f"{prefix}{error['loc'][0]}".upper()
    return f"{variable} is missing" if error["type"] == "missing" else f"{variable}: {values}"


class ProviderSettings(EnvironmentSettings):
    """Base of an adapter's settings: `TOCSIN_SENDGRID_API_KEY` is `api_key` of a class with
    `env_prefix="TOCSIN_SENDGRID_"`. `Field(alias="from")` names a field that is a Python keyword."""

    model_config = SettingsConfigDict(env_prefix_target="all")

    rate: float = Field(0, ge=0)

    @classmethod
    def of(cls, name: str) -> Self:
        """Read the settings that every provider has from `TOCSIN_<NAME>_*`. Raise InvalidSettings."""
        return cls.read(_env_prefix=f"{PREFIX}{name.upper()}_")
