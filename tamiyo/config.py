"""The configuration of a run: typed sections, and the layers they come from; builds nothing that runs.

Command line > `TAMIYO_*` environment > file > default. Hydra composes the files and the overrides; the result
is checked field by field against the dataclasses below, so that no key and no type slips through.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from architect.corpus import CorpusConfig
from architect.evolution import EvolutionConfig
from architect.policy import PolicyConfig
from architect.pretraining import PretrainingConfig
from architect.reinforce import ReinforceConfig
from blueprints import LANGUAGE, TamiyoError
from crucible.crucible import EngineName, find_engine
from crucible.devices import find_device
from crucible.effort import FULL, Effort
from crucible.engines.base import MAX_SECONDS
from crucible.reward import RewardBounds, RewardWeights
from curricula.curriculum import Curriculum
from curricula.suites import DEFAULT_SUITE, TASKS, curriculum, suite_named, task_named
from curricula.task import Task, TaskError
from curricula.user_tasks import load_user_tasks

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
ENVIRONMENT_PREFIX = "TAMIYO_"
#: Distance between the training seeds of neighbouring runs, so that they share none.
SEEDS_A_RUN = 1000
#: The first training seed of proofs; a range of their own, which no search reaches.
FIRST_PROOF_SEED = 2_000_000_000
#: Largest seed of a run: its training seeds stay below those of proofs.
MAX_SEED = FIRST_PROOF_SEED // SEEDS_A_RUN - 1
#: Environment variables of that prefix that are not settings: of the test suite, and of the command line.
_NOT_SETTINGS = ("TAMIYO_TEST_", "TAMIYO_LIBRARY", "TAMIYO_PASSPHRASE")


class ConfigError(TamiyoError):
    """A setting that is unknown, of the wrong type or out of range."""


def _at_least(section: Any, minimum: float, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value < minimum:
            raise ConfigError(f"{type(section).__name__}.{name} is {value}; expected at least {minimum}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Where a run is kept.

    Attributes:
        dir: the run's folder; empty for a new one under `runs/`.
        resume: an existing run's folder, to go on where it stopped; its own configuration is used.
    """

    dir: str = ""
    resume: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """When a run ends.

    Attributes:
        generations: generations in all.
    """

    generations: int = 14

    def __post_init__(self) -> None:
        _at_least(self, 1, "generations")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageConfig:
    """The largest program; see `blueprints.Language`.

    Attributes:
        max_length: most tokens of a program; less than the language allows, since long programs cost more to
            train than they gain.
        max_flops: most forward FLOPs of one time step of one example in a host of width 16.
    """

    max_length: int = 24
    max_flops: int = LANGUAGE.max_flops

    def __post_init__(self) -> None:
        _at_least(self, 3, "max_length")
        _at_least(self, 1024, "max_flops")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumConfig:
    """The stages; see `curricula.Curriculum`.

    Attributes:
        suite: tasks and weights from `curricula/suites.py`, one task a stage, in order: `xor`; and after
            XOR as a gate `classic` (the temporal task), `predictive` (what ranks modules as real work does)
            or `graft` (entering a trained host).
        tasks: names of an own list of tasks instead, likewise; empty for the suite's.
        weights: of these `tasks` in the reward's mean, in their order; empty for 1 each. 0 makes a gate: it
            adds nothing to the mean but is a factor of it, 1 for who solves it and 0 for who is at chance.
        user_tasks: a Python file with tasks of your own in a tuple `TASKS`, which `tasks` may then name; the
            run keeps a copy and goes on with that. Empty for none.
        min_generations: least generations of a stage.
        promotion_rate: least share of valid programs that solve the newest task.
        window: generations over which shares are averaged.
        demotion_share: share of the promotion rate that each earlier task must keep; below it the run goes
            back to that stage. 0 for never.
    """

    suite: str = DEFAULT_SUITE
    tasks: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    user_tasks: str = ""
    min_generations: int = 3
    promotion_rate: float = 0.6
    window: int = 2
    demotion_share: float = 0.5

    def __post_init__(self) -> None:
        if self.tasks and self.suite != DEFAULT_SUITE:
            raise ConfigError(
                f"curriculum.suite={self.suite} and curriculum.tasks={list(self.tasks)} are both given; "
                "expected one of them (curriculum.tasks=[] takes a list back)"
            )
        if self.weights and not self.tasks:
            raise ConfigError(
                f"curriculum.weights={list(self.weights)} without curriculum.tasks; expected both, since a "
                "suite has weights of its own"
            )
        try:
            self.build()
        except TaskError as error:
            raise ConfigError(f"curriculum: {error}") from error

    def build(self) -> Curriculum:
        """Return the curriculum."""
        suite = suite_named(self.suite)
        return curriculum(
            self.tasks or tuple(suite),
            self.weights if self.tasks else tuple(suite.values()),
            user_tasks=self._user_tasks(),
            min_generations=self.min_generations,
            promotion_rate=self.promotion_rate,
            window=self.window,
            demotion_share=self.demotion_share,
        )

    def _user_tasks(self) -> Mapping[str, Task]:
        """Return the tasks of the user's file, of which the list must name one and the package none."""
        if not self.user_tasks:
            return {}
        tasks = load_user_tasks(self.user_tasks)
        if taken := sorted(tasks.keys() & TASKS.keys()):
            raise TaskError(f"{self.user_tasks} names a task '{taken[0]}', as the package does; rename it")
        if not tasks.keys() & set(self.tasks):
            raise TaskError(
                f"no stage asks for a task of {self.user_tasks} ({', '.join(tasks)}); name one in "
                "curriculum.tasks"
            )
        return tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class CrucibleConfig:
    """How candidates are trained.

    Attributes:
        width: D of the host, a multiple of 16.
        engine: `native`, `batched` or `reference`; `auto` takes the fastest that there is.
        num_workers: cores that train; 0 takes all.
        max_seconds: what one training may take before it is ended.
        num_seeds: fresh seeds that a blueprint is trained with on each task whenever it is proposed.
        max_seeds: most seeds that one blueprint is ever trained with on one task.
        reseed_share: share of a generation's distinct blueprints, the best ones, that are trained from fresh
            seeds before the strategy hears their rewards; 0 for none.
        reseed_seeds: fresh seeds that each of them gets.
        latency_table: a file with the op latencies of this device; empty to measure them at the start.
        effort: what trainings may be spared; the full work by default.
    """

    width: int = 16
    engine: EngineName = "auto"
    num_workers: int = 0
    max_seconds: float = MAX_SECONDS
    num_seeds: int = 1
    max_seeds: int = 4
    reseed_share: float = 0.1
    reseed_seeds: int = 2
    latency_table: str = ""
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        _at_least(self, 0, "num_workers")
        _at_least(self, 1, "num_seeds", "reseed_seeds")
        if self.num_seeds > self.max_seeds:
            raise ConfigError(
                f"crucible.num_seeds is {self.num_seeds}; expected at most max_seeds = {self.max_seeds}"
            )
        if not self.max_seconds > 0:
            raise ConfigError(f"crucible.max_seconds is {self.max_seconds}; expected more than 0")
        if not 0 <= self.reseed_share <= 1:
            raise ConfigError(f"crucible.reseed_share is {self.reseed_share}; expected a share from 0 to 1")
        if self.max_seeds > SEEDS_A_RUN:
            raise ConfigError(f"crucible.max_seeds is {self.max_seeds}; expected at most {SEEDS_A_RUN}")
        if self.width < 16 or self.width % 16:
            raise ConfigError(f"crucible.width is {self.width}; expected a positive multiple of 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Weights and scales of the reward's terms; see `crucible.reward`."""

    weights: RewardWeights = field(default_factory=RewardWeights)
    bounds: RewardBounds = field(default_factory=RewardBounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectConfig:
    """Who proposes candidates.

    Attributes:
        batch_size: candidates a generation.
        decoding: `grammar` masks illegal tokens while sampling, `free` does not.
        policy: shape of the Transformer.
        corpus: what it is pretrained on.
        pretraining: how long.
        reinforce: settings of the strategy `reinforce`.
        evolution: settings of the strategy `evolution`.
    """

    batch_size: int = 1024
    decoding: Literal["free", "grammar"] = "grammar"
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    reinforce: ReinforceConfig = field(default_factory=ReinforceConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)

    def __post_init__(self) -> None:
        _at_least(self, 2, "batch_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class HallOfFameConfig:
    """What is remembered as the best.

    Attributes:
        size: entries of the hall of fame.
        database: database URL; empty for `library.db` in the run's folder.
    """

    size: int = 64
    database: str = ""

    def __post_init__(self) -> None:
        _at_least(self, 1, "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryConfig:
    """How what enters the library is proved; see `tamiyo/reproving.py`.

    Attributes:
        every: generations between provings; there is one at the end of the run too.
        share: trainings that all proofs of a run may take, as a share of the search's; 0 for no proofs.
        seeds: fresh seeds at each learning rate; a 95 % interval is given over them.
        rates: learning rates tried, in multiples of the task's own, of which 1 is one.
        held_out: tasks that entrants are shown beside those of the search; those of the search are left out.
        max_similarity: an entrant is less likely to be of one kind with every other entrant (their likeness,
            `hall_of_fame/traits.py`), or it is better than those it resembles and takes their place.
    """

    every: int = 5
    share: float = 0.05
    seeds: int = 5
    rates: tuple[float, ...] = (0.3, 1.0, 3.0)
    held_out: tuple[str, ...] = ("xor_distractors_4", "delayed_xor", "markov_once")
    max_similarity: float = 0.82

    def __post_init__(self) -> None:
        _at_least(self, 1, "every")
        _at_least(self, 2, "seeds")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"library.share is {self.share}; expected a share from 0 to 1")
        if 1 not in self.rates or min(self.rates) <= 0 or len(set(self.rates)) < len(self.rates):
            raise ConfigError(
                f"library.rates are {list(self.rates)}; expected positive multiples, 1 among them, none twice"
            )
        if not 0 < self.max_similarity <= 1:
            raise ConfigError(
                f"library.max_similarity is {self.max_similarity}; expected more than 0 and at most 1"
            )
        try:
            for name in self.held_out:
                task_named(name)
        except TaskError as error:
            raise ConfigError(f"library.held_out: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingConfig:
    """Weights & Biases; the run's own files are always written.

    Attributes:
        wandb: `offline` writes into the run's folder, `online` needs an account, `disabled` does nothing.
        project: project name.
    """

    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = "tamiyo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that decides a run.

    Attributes:
        seed: of everything random.
        device: where policy and candidates are computed, as torch names it.
        strategy: `reinforce`, `random` or `evolution`.
    """

    seed: int = 0
    device: str = "cpu"
    strategy: Literal["reinforce", "random", "evolution"] = "reinforce"
    run: RunConfig = field(default_factory=RunConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    crucible: CrucibleConfig = field(default_factory=CrucibleConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    architect: ArchitectConfig = field(default_factory=ArchitectConfig)
    hall_of_fame: HallOfFameConfig = field(default_factory=HallOfFameConfig)
    library: LibraryConfig = field(default_factory=LibraryConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        _at_least(self, 0, "seed")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed is {self.seed}; expected at most {MAX_SEED:,}")
        device = find_device(self.device)
        if self.crucible.effort != FULL:
            self.crucible.effort.check(find_engine(self.crucible.engine, device)[0])


def load_config(overrides: Sequence[str], environ: Mapping[str, str], base: Config | None = None) -> Config:
    """Return the configuration of all layers, the strongest last: default, file, environment, overrides.

    Args:
        overrides: Hydra overrides such as `architect.batch_size=64` or `profile=evidence`.
        environ: environment; `TAMIYO_ARCHITECT__BATCH_SIZE=64` stands for the first of these.
        base: replaces defaults and files, as when a run is resumed; overrides still apply.

    Raises:
        ConfigError: naming the setting, what came and what was expected.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = _from_environment(environ)
    merged = {_key(text): text for text in [*given.values(), *overrides]}
    ConfigStore.instance().store("defaults", _plain(asdict(base or Config())))
    name = "resume" if base else "train"
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose(name, list(merged.values()))
    except (HydraException, OmegaConfBaseException) as error:
        told = " ".join(str(error).split())
        used = {name: key for name, text in given.items() if merged[key := _key(text)] == text}
        guilty = [name for name, key in used.items() if f"'{key}'" in told]
        origin = f"; it is set by {', '.join(guilty)} in the environment" if guilty else ""
        raise ConfigError(told + origin) from error
    return _build(Config, OmegaConf.to_container(composed, resolve=True), "")


def read_config(path: Path, user_tasks: Path | None = None) -> Config:
    """Return the configuration that `config_yaml` wrote, with `user_tasks` instead of the file it names."""
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as a configuration: {error}") from error
    return config_of(data, user_tasks) if isinstance(data, dict) else _build(Config, data, "")


def config_of(data: Mapping[str, Any], user_tasks: Path | None = None) -> Config:
    """Return the configuration that `as_dict` gave, with `user_tasks` instead of the file it names."""
    own = dict(data)
    if user_tasks is not None and isinstance(own.get("curriculum"), dict):
        own["curriculum"] = {**own["curriculum"], "user_tasks": str(user_tasks)}
    return _build(Config, own, "")


def config_yaml(config: Config) -> str:
    """Return the configuration as YAML, every setting resolved."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def as_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as plain nested data, for the ledger."""
    return _plain(asdict(config))


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the override of each setting among environment variables; `__` stands for a dot."""
    return {
        name: f"{name.removeprefix(ENVIRONMENT_PREFIX).lower().replace('__', '.')}={value}"
        for name, value in sorted(environ.items())
        if is_setting(name)
    }


def is_setting(name: str) -> bool:
    """Say whether an environment variable is a setting of a run."""
    return name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(_NOT_SETTINGS)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def _build(kind: Any, value: Any, path: str) -> Any:
    """Return `value` as an instance of the annotated type `kind`, checked all the way down."""
    if is_dataclass(kind):
        return _build_section(kind, value, path)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _build(get_args(kind)[0], value, path)
    if origin is tuple:
        return _build_tuple(kind, value, path)
    if origin is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{path} is {value!r}; expected one of {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{path} is {value!r}; expected a value of type {kind.__name__}")
    return value


def _build_section(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{path or 'the configuration'} is {value!r}; expected a section")
    names = {entry.name for entry in fields(kind)}
    unknown = [f"{path}{key}" for key in value if key not in names]
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(unknown)}; expected {', '.join(sorted(names))}")
    needed = [
        f"{path}{entry.name}"
        for entry in fields(kind)
        if entry.name not in value and entry.default is MISSING and entry.default_factory is MISSING
    ]
    if needed:
        raise ConfigError(f"{needed[0]} is missing; expected {', '.join(sorted(names))}")
    hints = get_type_hints(kind)
    return kind(
        **{
            name: _build(
                hints[name], inner, f"{path}{name}." if is_dataclass(hints[name]) else f"{path}{name}"
            )
            for name, inner in value.items()
        }
    )


def _build_tuple(kind: Any, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{path} is {value!r}; expected a list")
    inner = get_args(kind)
    if len(inner) == 2 and inner[1] is Ellipsis:
        dot = "." if is_dataclass(inner[0]) else ""
        return tuple(_build(inner[0], item, f"{path}[{i}]{dot}") for i, item in enumerate(value))
    if len(inner) != len(value):
        raise ConfigError(f"{path} has {len(value)} items; expected {len(inner)}")
    return tuple(
        _build(k, item, f"{path}[{i}]") for i, (k, item) in enumerate(zip(inner, value, strict=True))
    )
