"""Lines of a migration that remove something, as far as its words tell."""

from __future__ import annotations

import pytest

from phasegate.infra.deploy.migrations.heuristics import takes_away

TAKES = [
    "DROP TABLE people;",
    "alter table people drop column name",
    "ALTER TABLE people RENAME TO persons",
    "ALTER TABLE people ALTER COLUMN name SET NOT NULL",
    "ALTER TABLE people ALTER COLUMN age TYPE bigint",
    "DELETE FROM people",
    "TRUNCATE people",
    "    op.drop_column('people', 'name')",
    "        migrations.RemoveField(model_name='person', name='name'),",
    "        migrations.RenameField('person', 'name', 'title'),",
    "    remove_column :people, :name",
]
ADDS = [
    "CREATE TABLE people (name TEXT)",
    "ALTER TABLE people ADD COLUMN dropped_at TEXT",
    "-- later: DROP TABLE people",
    "# remove_column comes next time",
    "    op.add_column('people', sa.Column('name', sa.Text()))",
    "CREATE INDEX people_name ON people (name)",
    "UPDATE people SET greeting = name",
]


@pytest.mark.parametrize("line", TAKES)
def test_it_takes_away(line: str) -> None:
    assert takes_away(f"BEGIN;\n{line}\n") == [(2, line.strip())]


@pytest.mark.parametrize("line", ADDS)
def test_it_does_not(line: str) -> None:
    assert takes_away(line) == []


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("def upgrade():", "def downgrade():"),
        ("-- +goose Up", "-- +goose Down"),
        ("-- migrate:up", "-- migrate:down"),
        ("  def up", "  def down"),
    ],
)
def test_the_way_down_is_not_what_the_release_does(up: str, down: str) -> None:
    """Untried mutation: `_DOWN` never matches."""
    text = f"{up}\n  add_column\n{down}\n  DROP TABLE people\n{up}\n  DROP TABLE persons\n"
    assert takes_away(text) == [(6, "DROP TABLE persons")]
