"""Makes the database refuse changes of proofs and of their trainings, as it does of the evaluations.

Revision: 0008, after 0007. A later migration that rebuilds one of these tables on SQLite (a batch that does
more than add columns) loses these triggers with the old table and has to create them again.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("proofs", "proof_trainings")


def upgrade() -> None:
    for table in _TABLES:
        for verb in _verbs():
            trigger = f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
            if _is_postgresql():
                op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION tamiyo_append_only()")
            else:
                op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def downgrade() -> None:
    for table in _TABLES:
        for verb in _verbs():
            op.execute(f"DROP TRIGGER {table}_no_{verb}" + (f" ON {table}" if _is_postgresql() else ""))


def _verbs() -> tuple[str, ...]:
    return ("update", "delete", *(("truncate",) if _is_postgresql() else ()))


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
