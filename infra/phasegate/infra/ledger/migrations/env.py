"""Run by alembic, on the connection that `database.connect` hands over."""

from alembic import context

from phasegate.infra.ledger.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
