"""Adds an index on the scores of each task and run, by which the best are found without reading the rest.

Revision: 0007, after 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_evaluations_task_key", "evaluations", ["task_key", "run_id", "score"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_evaluations_task_key", table_name="evaluations")
