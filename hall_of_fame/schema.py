"""The tables of the ledger and of its catalogue; leaves opening to `database.py`, runs no statement."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

#: The migration that produces exactly these tables.
HEAD = "0011"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _of_generation() -> ForeignKeyConstraint:
    """Return the constraint that a row belongs to a committed generation."""
    return ForeignKeyConstraint(["run_id", "generation"], ["generations.run_id", "generations.generation"])


def _required(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


runs = Table(
    "runs",
    metadata,
    Column("id", String(128), primary_key=True),
    _required("created", String(40)),
    _required("seed", BigInteger),
    _required("config", JSON),
    _required("command", Text),
    _required("code_version", String(128)),
    _required("language_version", String(64)),
    _required("environment", JSON),
)

tasks = Table(
    "tasks",
    metadata,
    Column("key", String(128), primary_key=True),
    _required("name", String(64)),
    _required("knobs", JSON),
    _required("chance", Float(53)),
    _required("solved", Float(53)),
)

generations = Table(
    "generations",
    metadata,
    Column("run_id", String(128), ForeignKey("runs.id"), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    _required("stage", String(64)),
    _required("metrics", JSON),
    _required("checkpoint", Text),
    _required("task_keys", JSON),
)

blueprints = Table(
    "blueprints",
    metadata,
    Column("id", String(64), primary_key=True),
    _required("tokens", Text),
    _required("language_version", String(64)),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _of_generation(),
)

candidates = Table(
    "candidates",
    metadata,
    Column("run_id", String(128), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _required("tokens", Text),
    Column("blueprint_id", String(64), ForeignKey("blueprints.id")),
    _required("status", String(32)),
    _required("rule", String(64)),
    _required("reward", Float(53)),
    _required("terms", JSON),
    Column("parents", Text, nullable=False, server_default=""),
    _of_generation(),
    Index("ix_candidates_blueprint_id", "blueprint_id", "reward"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("blueprint_id", String(64), ForeignKey("blueprints.id"), nullable=False),
    Column("task_key", String(128), ForeignKey("tasks.key"), nullable=False),
    _required("seed", BigInteger),
    _required("engine_id", String(128)),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _required("status", String(32)),
    _required("reason", Text),
    _required("score", Float(53)),
    _required("validation_score", Float(53)),
    Column("num_steps", Integer),
    Column("loss_first", Float(53)),
    Column("loss_last", Float(53)),
    Column("loss_late_std", Float(53)),
    Column("solved_step", Integer),
    Column("gradient_norm_mean", Float(53)),
    Column("gradient_norm_max", Float(53)),
    _required("clipped_share", Float(53)),
    Column("nonfinite_step", Integer),
    Column("gain", Float(53)),
    Column("retention_rise", Float(53)),
    Column("rival_gain", Float(53)),
    _required("num_parameters", Integer),
    _required("flops", BigInteger),
    Column("latency_us", Float(53)),
    Column("planned_steps", Integer),
    Column("loss_curve", LargeBinary),
    _of_generation(),
    UniqueConstraint("blueprint_id", "task_key", "seed", "engine_id", "run_id"),
    Index("ix_evaluations_run_id", "run_id", "generation"),
    Index("ix_evaluations_task_key", "task_key", "run_id", "score"),
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("blueprint_id", String(64), ForeignKey("blueprints.id"), primary_key=True),
    Column("task_key", String(128), ForeignKey("tasks.key"), primary_key=True),
    Column("engine_id", String(128), primary_key=True),
    Column("run_id", String(128), primary_key=True),
    _required("generation", Integer),
    _required("seed", BigInteger),
    _required("num_probes", Integer),
    _required("scale", Float(53)),
    _required("data", LargeBinary),
    _of_generation(),
)

latencies = Table(
    "latencies",
    metadata,
    Column("blueprint_id", String(64), ForeignKey("blueprints.id"), primary_key=True),
    Column("device", String(128), primary_key=True),
    Column("width", Integer, primary_key=True, autoincrement=False),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _required("time", Integer),
    _required("batch_size", Integer),
    _required("median_us", Float(53)),
    _required("spread_us", Float(53)),
    _required("reference_us", Float(53)),
    _required("ratio", Float(53)),
    _required("repeats", Integer),
    _of_generation(),
)

audit = Table(
    "audit",
    metadata,
    Column("id", String(64), primary_key=True),
    _required("created", String(40)),
    _required("who", String(512)),
    _required("command", Text),
    _required("verb", String(32)),
    Column("run_id", String(128)),
    Column("generation", Integer),
    _required("counts", JSON),
    _required("note", Text),
)

proofs = Table(
    "proofs",
    metadata,
    Column("blueprint_id", String(64), ForeignKey("blueprints.id"), primary_key=True),
    Column("protocol", String(64), primary_key=True),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _required("created", String(40)),
    _required("settings", JSON),
    _required("rank", Integer),
    _required("search_score", Float(53)),
    _required("search_trainings", Integer),
    _required("mean", Float(53)),
    _required("low", Float(53)),
    _required("high", Float(53)),
    _required("mean_as_searched", Float(53)),
    _required("floor", Float(53)),
    _required("shrinkage", Float(53)),
    _required("verdict", String(16)),
    _required("reason", Text),
    Column("nearest", String(64)),
    Column("similarity", Float(53)),
    _required("supersedes", Text),
    _required("tasks", JSON),
    Column("num_probes", Integer),
    Column("scale", Float(53)),
    Column("data", LargeBinary),
    _of_generation(),
)

proof_trainings = Table(
    "proof_trainings",
    metadata,
    Column("blueprint_id", String(64), primary_key=True),
    Column("protocol", String(64), primary_key=True),
    Column("task_key", String(128), ForeignKey("tasks.key"), primary_key=True),
    Column("seed", BigInteger, primary_key=True, autoincrement=False),
    _required("status", String(32)),
    _required("reason", Text),
    _required("score", Float(53)),
    _required("validation_score", Float(53)),
    Column("num_steps", Integer),
    Column("loss_last", Float(53)),
    ForeignKeyConstraint(["blueprint_id", "protocol"], ["proofs.blueprint_id", "proofs.protocol"]),
)

expansions = Table(
    "expansions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("blueprint_id", String(64), ForeignKey("blueprints.id"), nullable=False),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _required("created", String(40)),
    _required("target", String(32)),
    _required("designer", String(256)),
    _required("verdict", String(16)),
    _required("reason", Text),
    _required("fallbacks", Text),
    _required("settings", JSON),
    _required("plan", JSON),
    _required("units", JSON),
    _required("files", JSON),
    _required("num_parameters", BigInteger),
    Column("tree_hash", String(64)),
    Column("commit_hash", String(64)),
    _required("sandbox", String(64)),
    _required("environment", JSON),
    _required("usage", JSON),
    _required("checks", JSON),
    _of_generation(),
    Index("ix_expansions_blueprint_id", "blueprint_id", "created"),
)

expansion_calls = Table(
    "expansion_calls",
    metadata,
    Column("expansion_id", String(64), ForeignKey("expansions.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _required("subject", String(32)),
    _required("attempt", Integer),
    _required("provider", String(256)),
    _required("model", String(256)),
    _required("request", JSON),
    _required("answer", Text),
    _required("prompt_tokens", Integer),
    _required("completion_tokens", Integer),
    Column("cost_usd", Float(53)),
    _required("usage", String(16)),
    _required("seconds", Float(53)),
    _required("error", Text),
    _required("verdict", String(16)),
    _required("detail", Text),
)

# The catalogue: what pages list, derived from the ledger by `cataloguing.py`, which can make it anew.

catalogue = Table(
    "catalogue",
    metadata,
    Column("number", Integer, primary_key=True),
    _required("blueprint_id", String(64)),
    _required("tokens", Text),
    _required("family", String(32)),
    _required("length", Integer),
    _required("depth", Integer),
    _required("num_parameters", BigInteger),
    _required("flops", BigInteger),
    _required("latency_us", Float(53)),
    _required("reward", Float(53)),
    _required("performance", Float(53)),
    Column("proof_mean", Float(53)),
    _required("score", Float(53)),
    _required("standing", Float(53)),
    _required("status", String(16)),
    _required("stage", String(64)),
    _required("run_id", String(128)),
    _required("generation", Integer),
    _required("strategy", Text),
    _required("num_evaluations", Integer),
    _required("cell", Integer),
    UniqueConstraint("blueprint_id"),
    *(
        Index(f"ix_catalogue_{name}", name, "number")
        for name in ("score", "standing", "reward", "num_parameters", "latency_us", "length", "depth")
    ),
    *(
        Index(f"ix_catalogue_{name}_standing", name, "standing", "number")
        for name in ("family", "stage", "run_id")
    ),
    Index("ix_catalogue_cell", "cell", "score"),
)

catalogue_counts = Table(
    "catalogue_counts",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", String(128), primary_key=True),
    _required("num", Integer),
)

catalogue_lineage = Table(
    "catalogue_lineage",
    metadata,
    Column("parent_id", String(64), primary_key=True),
    Column("child_id", String(64), primary_key=True),
)

catalogue_tasks = Table(
    "catalogue_tasks",
    metadata,
    Column("run_id", String(128), primary_key=True),
    Column("task_key", String(128), primary_key=True),
    _required("generation", Integer),
    _required("weight", Float(53)),
    _required("is_trained", Boolean),
)

#: What the ledger says and an archive holds, a table after those that it refers to.
LEDGER = tuple(table for table in metadata.sorted_tables if not table.name.startswith("catalogue"))
