"""Normalize language tags (BCP 47) and order the languages in which translations are searched."""

import re

_TAG = re.compile(
    r"""(?P<language>[a-z]{2,3})
        (?:-(?P<script>[a-z]{4}))?
        (?:-(?P<region>[a-z]{2}|[0-9]{3}))?
        (?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


def normalize_tag(tag: str) -> str:
    """Normalize a tag: `de_at` → `de-AT`, `ZH-hant-tw` → `zh-Hant-TW`. Raise ValueError for an invalid tag."""
    match = _TAG.fullmatch(tag.strip().replace("_", "-"))
    if match is None or len(tag) > 35:
        raise ValueError("not a language tag; expected one like en, fr-BE or zh-Hant-TW")
    language, script, region, variants = match.group("language", "script", "region", "variants")
    parts = [language.lower(), (script or "").title(), (region or "").upper(), *variants.lower().split("-")]
    return "-".join(part for part in parts if part)


def fallback_languages(locale: str | None, default: str) -> list[str]:
    """Return the languages from the most to the least exact, then the default: `fr-BE` → fr-BE, fr, en. Raise
    ValueError for an invalid tag."""
    tags = [*(_shortened(normalize_tag(locale)) if locale else []), *_shortened(normalize_tag(default))]
    return list(dict.fromkeys(tags))


def _shortened(tag: str) -> list[str]:
    parts = tag.split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
