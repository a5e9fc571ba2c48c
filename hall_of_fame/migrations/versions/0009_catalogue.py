"""Adds the catalogue, which is derived from the ledger: whoever opens an older one fills it afterwards.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Columns with an index each, and those that are followed by the standing there.
_SORTED = ("score", "standing", "reward", "num_parameters", "latency_us", "length", "depth")
_GROUPED = ("family", "stage", "run_id")


def upgrade() -> None:
    op.create_table(
        "catalogue",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("tokens", sa.Text(), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("num_parameters", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("latency_us", sa.Float(precision=53), nullable=False),
        sa.Column("reward", sa.Float(precision=53), nullable=False),
        sa.Column("performance", sa.Float(precision=53), nullable=False),
        sa.Column("proof_mean", sa.Float(precision=53), nullable=True),
        sa.Column("score", sa.Float(precision=53), nullable=False),
        sa.Column("standing", sa.Float(precision=53), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("num_evaluations", sa.Integer(), nullable=False),
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_catalogue")),
        sa.UniqueConstraint("blueprint_id", name=op.f("uq_catalogue_blueprint_id")),
    )
    for name in _SORTED:
        op.create_index(f"ix_catalogue_{name}", "catalogue", [name, "number"], unique=False)
    for name in _GROUPED:
        op.create_index(
            f"ix_catalogue_{name}_standing", "catalogue", [name, "standing", "number"], unique=False
        )
    op.create_index("ix_catalogue_cell", "catalogue", ["cell", "score"], unique=False)
    op.create_table(
        "catalogue_counts",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_catalogue_counts")),
    )
    op.create_table(
        "catalogue_lineage",
        sa.Column("parent_id", sa.String(length=64), nullable=False),
        sa.Column("child_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("parent_id", "child_id", name=op.f("pk_catalogue_lineage")),
    )
    op.create_table(
        "catalogue_tasks",
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("task_key", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(precision=53), nullable=False),
        sa.Column("is_trained", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "task_key", name=op.f("pk_catalogue_tasks")),
    )


def downgrade() -> None:
    for name in ("catalogue_tasks", "catalogue_lineage", "catalogue_counts", "catalogue"):
        op.drop_table(name)
