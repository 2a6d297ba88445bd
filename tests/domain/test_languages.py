import pytest

from domain.languages import fallback_languages, normalize_tag


@pytest.mark.parametrize(
    ("locale", "default", "expected"),
    [
        ("fr-BE", "en", ["fr-BE", "fr", "en"]),
        ("de_AT", "en", ["de-AT", "de", "en"]),
        ("zh-Hant-TW", "en", ["zh-Hant-TW", "zh-Hant", "zh", "en"]),
        ("en-GB", "en", ["en-GB", "en"]),
        ("en", "en-GB", ["en", "en-GB"]),
        (None, "pt-BR", ["pt-BR", "pt"]),
        ("", "en", ["en"]),
    ],
)
def test_the_chain_goes_from_exact_to_default(locale: str | None, default: str, expected: list[str]) -> None:
    assert fallback_languages(locale, default) == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("EN", "en"),
        ("de_at", "de-AT"),
        ("ZH-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        (" sr_latn ", "sr-Latn"),
        ("ca-ES-VALENCIA", "ca-ES-valencia"),
        ("de-1996", "de-1996"),
        ("fil", "fil"),
    ],
)
def test_a_tag_has_one_spelling(tag: str, expected: str) -> None:
    assert normalize_tag(tag) == expected
    assert normalize_tag(expected) == expected


@pytest.mark.parametrize(
    "tag", ["", "e", "english", "en-", "-en", "en--GB", "en GB", "../en", "en;q=1", "fr-BE-", "ﬁ", "en-" + "abcde-" * 9]
)
def test_nonsense_is_no_tag(tag: str) -> None:
    with pytest.raises(ValueError, match="not a language tag"):
        normalize_tag(tag)
    with pytest.raises(ValueError, match="not a language tag"):
        fallback_languages("en", tag)
