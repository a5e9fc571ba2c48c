"""Runs migrations on a connection that the opener of the database hands over; configures no logging."""

from alembic import context

from hall_of_fame.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
