"""Adds measured forward latencies of blueprints, one a device and width; earlier entrants have none yet.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "latencies",
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("width", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("time", sa.Integer(), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("median_us", sa.Float(precision=53), nullable=False),
        sa.Column("spread_us", sa.Float(precision=53), nullable=False),
        sa.Column("reference_us", sa.Float(precision=53), nullable=False),
        sa.Column("ratio", sa.Float(precision=53), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["blueprint_id"], ["blueprints.id"], name=op.f("fk_latencies_blueprint_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_latencies_run_id"),
        ),
        sa.PrimaryKeyConstraint("blueprint_id", "device", "width", name=op.f("pk_latencies")),
    )


def downgrade() -> None:
    op.drop_table("latencies")
