"""Adds what a graft gained, spoilt and how its rival did; an exam that is none has nothing there.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = ("gain", "retention_rise", "rival_gain")


def upgrade() -> None:
    with op.batch_alter_table("evaluations") as table:
        for name in _COLUMNS:
            table.add_column(sa.Column(name, sa.Float(precision=53), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("evaluations") as table:
        for name in reversed(_COLUMNS):
            table.drop_column(name)
