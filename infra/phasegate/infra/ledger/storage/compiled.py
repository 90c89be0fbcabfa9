"""What is asked and written at every turn of an agent: put together once, and carried out by the database's own driver.

SQLAlchemy takes several times as long to carry out a statement, also one it knows, as either database takes. Used by
`store` and by the sections whose questions are on an agent's way. It must not know what a statement is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, cast

from sqlalchemy import ClauseElement, Connection, Dialect, PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """What came of a statement."""

    @property
    def description(self) -> object | None:
        """The columns of what was found; None where nothing was asked."""
        ...

    def fetchall(self) -> list[Row]:
        """All rows that were found."""
        ...


class Driver(Protocol):
    """What the connections of `sqlite3` and of `psycopg` have in common."""

    def execute(self, statement: str, parameters: Any = (), /) -> Cursor:
        """Carry a statement out at once."""
        ...

    def commit(self) -> None:
        """Make what was written in the transaction last."""
        ...


class DriverConnection(NamedTuple):
    """A connection without SQLAlchemy on top.

    Attributes:
        driver: The driver's own connection.
        dialect: How its kind of database is spoken to.
    """

    driver: Driver
    dialect: Dialect

    @classmethod
    def below(cls, connection: Connection) -> Self:
        """What a connection of SQLAlchemy's is put on top of: both are in the same transaction."""
        return cls.of(connection.connection, connection.dialect)

    @classmethod
    def of(cls, pooled: PoolProxiedConnection, dialect: Dialect) -> Self:
        """A connection that was taken out of the pool."""
        return cls(cast("Driver", pooled.driver_connection), dialect)


@dataclass(frozen=True, slots=True)
class _CompiledSql:
    """A statement as one kind of database takes it.

    Attributes:
        text: The SQL.
        fixed: Parameters that the statement brings along.
        stored: How values of some parameters are stored.
        order: The parameters' places; None where the driver knows them by name.
    """

    text: str
    fixed: Mapping[str, Any]
    stored: Mapping[str, Callable[[Any], Any]]
    order: tuple[str, ...] | None

    @classmethod
    def of(cls, statement: ClauseElement, dialect: Dialect) -> _CompiledSql:
        """Put a statement together."""
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect))
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        stored = {
            name: process
            for bound, name in compiled.bind_names.items()
            if (process := bound.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        return cls(str(compiled), fixed, stored, tuple(compiled.positiontup or ()) if compiled.positional else None)

    def parameters(self, values: Mapping[str, Any]) -> Mapping[str, Any] | list[Any]:
        """What the driver is given along with the text."""
        given = {**self.fixed, **values}
        for name, process in self.stored.items():
            given[name] = process(given[name])
        return given if self.order is None else [given[name] for name in self.order]


class CompiledStatement:
    """Statement compiled once per dialect; its parameters are all named, and its text does not depend on them."""

    def __init__(self, statement: ClauseElement) -> None:
        """Keep a statement, to be compiled when it is executed."""
        self._statement = statement
        self._compiled: dict[str, _CompiledSql] = {}

    def execute(self, direct: DriverConnection, **values: Any) -> list[Row]:
        """Execute it in the transaction a connection is in.

        Returns:
            The rows as they are stored; none where nothing is asked.
        """
        driver, dialect = direct
        sql = self._compiled.get(dialect.name)
        if sql is None:
            sql = self._compiled[dialect.name] = _CompiledSql.of(self._statement, dialect)
        cursor = driver.execute(sql.text, sql.parameters(values))
        return [] if cursor.description is None else cursor.fetchall()
