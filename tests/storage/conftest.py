from tests.storage.fixtures import database, desk, sent

__all__ = ["database", "desk", "sent"]
