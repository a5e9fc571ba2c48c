"""Adds proofs with their trainings, and the parents of candidates; earlier candidates have none on record.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("candidates") as table:
        table.add_column(sa.Column("parents", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "proofs",
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(length=40), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("search_score", sa.Float(precision=53), nullable=False),
        sa.Column("search_trainings", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Float(precision=53), nullable=False),
        sa.Column("low", sa.Float(precision=53), nullable=False),
        sa.Column("high", sa.Float(precision=53), nullable=False),
        sa.Column("mean_as_searched", sa.Float(precision=53), nullable=False),
        sa.Column("floor", sa.Float(precision=53), nullable=False),
        sa.Column("shrinkage", sa.Float(precision=53), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("nearest", sa.String(length=64), nullable=True),
        sa.Column("similarity", sa.Float(precision=53), nullable=True),
        sa.Column("supersedes", sa.Text(), nullable=False),
        sa.Column("tasks", sa.JSON(), nullable=False),
        sa.Column("num_probes", sa.Integer(), nullable=True),
        sa.Column("scale", sa.Float(precision=53), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["blueprint_id"], ["blueprints.id"], name=op.f("fk_proofs_blueprint_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_proofs_run_id"),
        ),
        sa.PrimaryKeyConstraint("blueprint_id", "protocol", name=op.f("pk_proofs")),
    )
    op.create_table(
        "proof_trainings",
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=64), nullable=False),
        sa.Column("task_key", sa.String(length=128), nullable=False),
        sa.Column("seed", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=False),
        sa.Column("validation_score", sa.Float(precision=53), nullable=False),
        sa.Column("num_steps", sa.Integer(), nullable=True),
        sa.Column("loss_last", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], name=op.f("fk_proof_trainings_task_key")),
        sa.ForeignKeyConstraint(
            ["blueprint_id", "protocol"],
            ["proofs.blueprint_id", "proofs.protocol"],
            name=op.f("fk_proof_trainings_blueprint_id"),
        ),
        sa.PrimaryKeyConstraint(
            "blueprint_id", "protocol", "task_key", "seed", name=op.f("pk_proof_trainings")
        ),
    )


def downgrade() -> None:
    op.drop_table("proof_trainings")
    op.drop_table("proofs")
    with op.batch_alter_table("candidates") as table:
        table.drop_column("parents")
