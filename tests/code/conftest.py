from collections.abc import Iterator

import pytest

from tests.code.tree import product, suite


@pytest.fixture(scope="package", autouse=True)
def forget_sources() -> Iterator[None]:
    """Free the syntax trees of all sources after the last test that reads them."""
    yield
    product.cache_clear()
    suite.cache_clear()
