"""Creates the ledger: runs, tasks, generations, blueprints, candidates, evaluations, fingerprints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("created", sa.String(length=40), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("code_version", sa.String(length=128), nullable=False),
        sa.Column("language_version", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "tasks",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("knobs", sa.JSON(), nullable=False),
        sa.Column("chance", sa.Float(precision=53), nullable=False),
        sa.Column("solved", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tasks")),
    )
    op.create_table(
        "generations",
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("task_keys", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_generations_run_id")),
        sa.PrimaryKeyConstraint("run_id", "generation", name=op.f("pk_generations")),
    )
    op.create_table(
        "blueprints",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tokens", sa.Text(), nullable=False),
        sa.Column("language_version", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_blueprints_run_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blueprints")),
    )
    op.create_table(
        "candidates",
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tokens", sa.Text(), nullable=False),
        sa.Column("blueprint_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("reward", sa.Float(precision=53), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["blueprint_id"], ["blueprints.id"], name=op.f("fk_candidates_blueprint_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_candidates_run_id"),
        ),
        sa.PrimaryKeyConstraint("run_id", "generation", "position", name=op.f("pk_candidates")),
    )
    op.create_index("ix_candidates_blueprint_id", "candidates", ["blueprint_id", "reward"], unique=False)
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("task_key", sa.String(length=128), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("engine_id", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=False),
        sa.Column("validation_score", sa.Float(precision=53), nullable=False),
        sa.Column("loss_first", sa.Float(precision=53), nullable=True),
        sa.Column("loss_last", sa.Float(precision=53), nullable=True),
        sa.Column("loss_late_std", sa.Float(precision=53), nullable=True),
        sa.Column("solved_step", sa.Integer(), nullable=True),
        sa.Column("gradient_norm_mean", sa.Float(precision=53), nullable=True),
        sa.Column("gradient_norm_max", sa.Float(precision=53), nullable=True),
        sa.Column("clipped_share", sa.Float(precision=53), nullable=False),
        sa.Column("nonfinite_step", sa.Integer(), nullable=True),
        sa.Column("num_parameters", sa.Integer(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("latency_us", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["blueprint_id"], ["blueprints.id"], name=op.f("fk_evaluations_blueprint_id")
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_evaluations_run_id"),
        ),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], name=op.f("fk_evaluations_task_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint(
            "blueprint_id",
            "task_key",
            "seed",
            "engine_id",
            "run_id",
            name=op.f("uq_evaluations_blueprint_id"),
        ),
    )
    op.create_index("ix_evaluations_run_id", "evaluations", ["run_id", "generation"], unique=False)
    op.create_table(
        "fingerprints",
        sa.Column("blueprint_id", sa.String(length=64), nullable=False),
        sa.Column("task_key", sa.String(length=128), nullable=False),
        sa.Column("engine_id", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("num_probes", sa.Integer(), nullable=False),
        sa.Column("scale", sa.Float(precision=53), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blueprint_id"], ["blueprints.id"], name=op.f("fk_fingerprints_blueprint_id")
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "generation"],
            ["generations.run_id", "generations.generation"],
            name=op.f("fk_fingerprints_run_id"),
        ),
        sa.ForeignKeyConstraint(["task_key"], ["tasks.key"], name=op.f("fk_fingerprints_task_key")),
        sa.PrimaryKeyConstraint(
            "blueprint_id", "task_key", "engine_id", "run_id", name=op.f("pk_fingerprints")
        ),
    )


def downgrade() -> None:
    op.drop_table("fingerprints")
    op.drop_index("ix_evaluations_run_id", table_name="evaluations")
    op.drop_table("evaluations")
    op.drop_index("ix_candidates_blueprint_id", table_name="candidates")
    op.drop_table("candidates")
    op.drop_table("blueprints")
    op.drop_table("generations")
    op.drop_table("tasks")
    op.drop_table("runs")
