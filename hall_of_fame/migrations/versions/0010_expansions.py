"""Adds expansions with the calls of language models behind them, and makes the database keep both as written.

Revision: 0010, after 0009. A later migration that rebuilds one of these tables on SQLite (a batch that does
more than add columns) loses these triggers with the old table and has to create them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = ("expansions", "expansion_calls")


def upgrade() -> None:
    op.create_table(
        "expansions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("designer", sa.String(length=256), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fallbacks", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("units", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("num_parameters", sa.BigInteger(), nullable=False),
        sa.Column("tree_hash", sa.String(length=64), nullable=True),
        sa.Column("commit_hash", sa.String(length=64), nullable=True),
        sa.Column("sandbox", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["blueprint_id"], ["blueprints.id"], name=op.f("fk_expansions_blueprint_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_expansions_run_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expansions")),
    )
    op.create_index("ix_expansions_blueprint_id", "expansions", ["blueprint_id", "created"], unique=False)
    op.create_table(
        "expansion_calls",
        sa.Column("expansion_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Float(precision=53), nullable=True),
        sa.Column("usage", sa.String(length=16), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["expansion_id"], ["expansions.id"], name=op.f("fk_expansion_calls_expansion_id")
        ),
        sa.PrimaryKeyConstraint("expansion_id", "position", name=op.f("pk_expansion_calls")),
    )
    for table in _TABLES:
        for verb in _verbs():
            trigger = f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
            if _is_postgresql():
                op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION tamiyo_append_only()")
            else:
                op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _verbs() -> tuple[str, ...]:
    return ("update", "delete", *(("truncate",) if _is_postgresql() else ()))


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
