"""Adds the thinned loss curve of each training; the trainings on record have none.

Revision: 0011, after 0010. Columns are added and dropped in place: a batch that rebuilds the table would lose
the triggers that keep its rows as they were written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("planned_steps", sa.Integer(), nullable=True))
    op.add_column("evaluations", sa.Column("loss_curve", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    for name in ("loss_curve", "planned_steps"):
        op.drop_column("evaluations", name)
