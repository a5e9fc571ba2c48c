"""Adds the audit trail, and makes the database refuse changes of it and of the evaluations.

Revision: 0005, after 0004. A later migration that rebuilds `evaluations` on SQLite (a batch that does more
than add columns) loses these triggers with the old table and has to create them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("audit", "evaluations")
_REFUSAL = "is append-only"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created", sa.String(length=40), nullable=False),
        sa.Column("who", sa.String(length=512), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("verb", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION tamiyo_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '% {_REFUSAL}', TG_TABLE_NAME; END $$"
        )
    for table in _TABLES:
        _guard(table)


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table in _TABLES:
        for verb in _verbs():
            of = f" ON {table}" if postgresql else ""
            op.execute(f"DROP TRIGGER {table}_no_{verb}{of}")
    if postgresql:
        op.execute("DROP FUNCTION tamiyo_append_only()")
    op.drop_table("audit")


def _verbs() -> tuple[str, ...]:
    truncate = ("truncate",) if op.get_bind().dialect.name == "postgresql" else ()
    return ("update", "delete", *truncate)


def _guard(table: str) -> None:
    """Let the database refuse whatever would change or remove a row of `table`."""
    for verb in _verbs():
        trigger = f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION tamiyo_append_only()")
        else:
            op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{table} {_REFUSAL}'); END")
