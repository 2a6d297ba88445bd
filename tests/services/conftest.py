from tests.storage.fixtures import database, database_tenant, sent

__all__ = ["database", "database_tenant", "sent"]
