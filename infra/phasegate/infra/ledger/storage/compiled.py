"""Hot-path statements: compiled once by SQLAlchemy, executed on the connection of the database's own driver.

SQLAlchemy takes several times as long to execute a statement, even a compiled one, as either database takes. Used by
`store` and by the sections that every turn of an agent reads or writes. It must not know what a statement is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, cast

from sqlalchemy import ClauseElement, Connection, Dialect, PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """Cursor of a statement that was executed."""

    @property
    def description(self) -> object | None:
        """The columns of the result, or `None` if the statement returns no rows."""
        ...

    def fetchall(self) -> list[Row]:
        """All rows that were found."""
        ...


class Driver(Protocol):
    """Methods that the connections of `sqlite3` and of `psycopg` have in common."""

    def execute(self, statement: str, parameters: Any = (), /) -> Cursor:
        """Execute a statement."""
        ...

    def commit(self) -> None:
        """Commit the transaction."""
        ...


class DriverConnection(NamedTuple):
    """A connection without SQLAlchemy on top.

    Attributes:
        driver: The driver's own connection.
        dialect: SQLAlchemy's dialect of its kind of database.
    """

    driver: Driver
    dialect: Dialect

    @classmethod
    def below(cls, connection: Connection) -> Self:
        """The driver's connection below one of SQLAlchemy's: both are in the same transaction."""
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
        stored: Conversions of some parameters' values to what is stored.
        order: Names of positional parameters, in order; `None` if the driver takes them by name.
    """

    text: str
    fixed: Mapping[str, Any]
    stored: Mapping[str, Callable[[Any], Any]]
    order: tuple[str, ...] | None

    @classmethod
    def of(cls, statement: ClauseElement, dialect: Dialect) -> _CompiledSql:
        """Compile a statement."""
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect))
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        stored = {
            name: process
            for bound, name in compiled.bind_names.items()
            if (process := bound.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        return cls(str(compiled), fixed, stored, tuple(compiled.positiontup or ()) if compiled.positional else None)

    def parameters(self, values: Mapping[str, Any]) -> Mapping[str, Any] | list[Any]:
        """Parameters for the driver: the statement's own and these values, as they are stored."""
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
            The rows as they are stored, or none if the statement returns no rows.
        """
        driver, dialect = direct
        sql = self._compiled.get(dialect.name)
        if sql is None:
            sql = self._compiled[dialect.name] = _CompiledSql.of(self._statement, dialect)
        cursor = driver.execute(sql.text, sql.parameters(values))
        return [] if cursor.description is None else cursor.fetchall()
