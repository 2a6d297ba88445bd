"""Choose the language of one device. A delivery to devices has its content once for each language that they use: the
recipient's, and the others in its member `translations`."""

from domain.json_types import Json
from domain.languages import fallback_languages

TRANSLATIONS = "translations"


def with_translations(content: Json, translations: Json) -> Json:
    return {**content, TRANSLATIONS: translations} if translations else content


def content_for(content: Json, locale: str | None) -> Json:
    """Return the content for a device with this locale: its own language if the delivery has it."""
    translations = content.get(TRANSLATIONS, {})
    own = {name: value for name, value in content.items() if name != TRANSLATIONS} if translations else content
    languages = device_languages(locale) if locale and translations else []
    return next((translations[language] for language in languages if language in translations), own)


def device_languages(locale: str) -> list[str]:
    """Return the languages of a device, the most exact first. The recipient's content is used after them."""
    return fallback_languages(None, locale)
