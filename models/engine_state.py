"""Facts about the installation itself."""

from sqlmodel import Field, SQLModel


class EngineState(SQLModel, table=True):
    """One row. `namespace_id` is new when Temporal's store was lost: then open rows are dispatched again."""

    __tablename__ = "engine_state"

    id: int = Field(default=1, primary_key=True)
    namespace_id: str | None = None
