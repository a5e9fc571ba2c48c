"""The shapes of answers about blueprints, which JSON and pages share; computes nothing."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hall_of_fame.records import Status


class Shape(BaseModel):
    """Base of every answer: immutable, documented, made from records by their fields."""

    model_config = ConfigDict(frozen=True, from_attributes=True, extra="forbid")


class BlueprintRow(Shape):
    """One blueprint in a list."""

    id: str = Field(description="canonical hash, 64 hexadecimal digits")
    tokens: tuple[str, ...] = Field(description="the program that first brought it")
    family: str = Field(description="how it carries information along time; empty where it cannot be read")
    length: int = Field(description="tokens")
    depth: int = Field(description="ops on the longest path")
    num_parameters: int | None = Field(description="trainable scalars in the host of its trainings")
    flops: int | None = Field(description="forward FLOPs of one example of the longest task seen")
    latency_us: float | None = Field(description="mean predicted forward latency in microseconds")
    reward: float | None = Field(description="the best reward that a candidate of this id was given")
    performance: float = Field(description="in the search: 0 at chance, 1 perfect")
    score: float = Field(description="the proof's mean where there is one, else the performance")
    status: Status = Field(description="entrant, candidate or refused")
    stage: str = Field(description="stage of the curriculum at which it was first found")
    run_id: str = Field(description="the run that brought it")
    generation: int = Field(description="the generation of that run")
    strategy: str = Field(description="what proposed it; empty where the run does not say")
    num_evaluations: int = Field(description="trainings on record")


class BlueprintPage(Shape):
    """One page of a list of blueprints."""

    rows: tuple[BlueprintRow, ...] = Field(
        description="in the order asked for; where rows are hard to find a page may be short, or empty"
    )
    next_cursor: str | None = Field(description="names the next page; null on the last one")
    total: int | None = Field(description="rows on all pages; null where they are too many to count")
    at_least: int = Field(description="rows that there are at least; `total` where that is known")


class Facets(Shape):
    """How many blueprints the library has, by value, most first."""

    num: int = Field(description="in all")
    family: dict[str, int] = Field(description="by family")
    status: dict[str, int] = Field(description="by status")
    stage: dict[str, int] = Field(description="by the stage that brought them")
    run: dict[str, int] = Field(description="by the run that brought them")


class IntervalShape(Shape):
    """A mean over seeds, and where the true one is expected with 95 % confidence (Student's t)."""

    mean: float = Field(description="over the seeds")
    low: float | None = Field(description="lower end; null for a single seed")
    high: float | None = Field(description="upper end; null likewise")
    num_seeds: int = Field(description="how many there were")


class TaskEvidence(Shape):
    """Evidence of one blueprint on one task."""

    task: str = Field(description="the task's name")
    task_key: str = Field(description="the name and a hash of its knobs")
    mean: float = Field(description="mean test score over the trainings; one that failed counts as 0")
    std: float = Field(description="their population standard deviation")
    low: float = Field(description="the lowest score")
    high: float = Field(description="the highest score")
    interval: IntervalShape = Field(description="the mean with its 95 % interval")
    num_seeds: int = Field(description="trainings")
    num_ok: int = Field(description="trainings that went well")
    chance: float = Field(description="score of always guessing")
    solved: float = Field(description="score from which the task counts as solved")


class TaskProofShape(Shape):
    """A re-proved blueprint on one task, at the learning rate that did best on validation data."""

    task: str = Field(description="the task's name")
    held_out: bool = Field(description="whether the search did not see it")
    factor: float = Field(description="the learning rate, in multiples of the task's own")
    mean: float = Field(description="mean normalised test score over fresh seeds: 0 at chance, 1 perfect")
    low: float = Field(description="lower end of its 95 % interval")
    high: float = Field(description="upper end")
    num_seeds: int = Field(description="seeds at each learning rate")
    num_ok: int = Field(description="trainings at this rate that went well")
    reason: str = Field(description="why the task refuses the blueprint; empty where it was trained")


class ProofShape(Shape):
    """A candidate trained again from seeds that no search uses, and whether it entered."""

    protocol: str = Field(description="names the settings; numbers compare under equal ones")
    run_id: str = Field(description="the run that it was selected from")
    created: str = Field(description="ISO 8601 time, in UTC")
    rank: int = Field(description="its place by reward when it was selected, from 1")
    search_score: float = Field(description="its score in the search then")
    mean: float = Field(description="mean over the fresh seeds, 0 at chance and 1 perfect")
    low: float = Field(description="lower end of its 95 % interval")
    high: float = Field(description="upper end")
    shrinkage: float = Field(description="what of the search's score did not come back")
    floor: float = Field(description="score of the identity under the same protocol")
    verdict: str = Field(description="entered or refused")
    reason: str = Field(description="why it was refused, or what else there is to say")
    nearest: str | None = Field(description="the entrant whose representation was most alike")
    similarity: float | None = Field(description="debiased CKA with it")
    supersedes: tuple[str, ...] = Field(description="entrants that left for it")
    tasks: tuple[TaskProofShape, ...] = Field(description="those of the search first, then the held-out ones")


class LatencyShape(Shape):
    """A measured forward latency, beside a reference module's."""

    device: str = Field(description="kind and model of the device")
    width: int = Field(description="width of the host")
    time: int = Field(description="steps of an example")
    batch_size: int = Field(description="examples a pass")
    median_us: float = Field(description="median in microseconds")
    spread_us: float = Field(description="interquartile range")
    reference_us: float = Field(description="the reference's median")
    ratio: float = Field(description="median over repeats of module over reference")


class BlueprintDetail(BlueprintRow):
    """What is on record about one blueprint; its graph, source and trainings have paths of their own."""

    language_version: str = Field(description="version hash of the language that parsed it")
    size: str = Field(description="its niche's band of parameters")
    tasks: tuple[TaskEvidence, ...] = Field(description="evidence by task")
    measured: tuple[LatencyShape, ...] = Field(description="measured latencies, by device and width")
    reason: str = Field(description="why it is refused")
    proof: ProofShape | None = Field(description="the newest; null for a candidate")
    parents: tuple[str, ...] = Field(description="ids that it was made from; none where it was sampled")
    created: str = Field(description="ISO 8601 time at which its run was started, in UTC")
    seed: int = Field(description="the run's seed")
    code_version: str = Field(description="version and revision of the run's code")
    command: str = Field(description="the command that starts the same run again")


class SourceAnswer(Shape):
    """A blueprint as a PyTorch module that imports torch alone."""

    id: str = Field(description="the blueprint")
    file_name: str = Field(description="what to save it as")
    class_name: str = Field(description="the class, made as CLASS(width=16)")
    source: str = Field(description="Python")


class Edit(Shape):
    """Tokens that stay, go or come between two programs."""

    kind: str = Field(description="equal, delete or insert")
    tokens: tuple[str, ...]


class Relative(Shape):
    """One blueprint of a lineage."""

    blueprint: BlueprintRow
    step: int = Field(description="0 for what was asked about, -1 its parents, 1 its children, ...")
    parents: tuple[str, ...] = Field(description="ids that it was made from")
    edits: tuple[Edit, ...] = Field(description="what made it from the first of them that is on record")


class LineageAnswer(Shape):
    """What a blueprint was made from and what was made from it, the youngest first."""

    relatives: tuple[Relative, ...] = Field(description="the blueprint itself among them")
    is_whole: bool = Field(description="whether nothing was left out, of the parents that are on record")


class Neighbour(Shape):
    """A blueprint built much like another, and what differs."""

    blueprint: BlueprintRow
    likeness: float = Field(description="cosine of Weisfeiler-Lehman features of both graphs; 1 when equal")
    edit_distance: int = Field(description="tokens to insert, delete or replace")
    edits: tuple[Edit, ...] = Field(description="what turns the program that was asked about into this one")


class NeighboursAnswer(Shape):
    """The blueprints whose graphs are most alike, nearest first."""

    neighbours: tuple[Neighbour, ...]
    num_considered: int = Field(description="blueprints looked at: the best of its family and length")


class LossCurveShape(Shape):
    """The training loss over the steps: its means over spans that share the task's steps out equally."""

    planned_steps: int = Field(description="steps of the task's whole training")
    bounds: tuple[int, ...] = Field(
        description="steps after which the spans begin, and after which the last would end; the training "
        "may have ended within that"
    )
    means: tuple[float, ...] = Field(description="mean training loss of each span, one fewer than bounds")


class Training(Shape):
    """One training of one blueprint."""

    task: str = Field(description="the task's name")
    task_key: str = Field(description="the name and a hash of its knobs")
    seed: int = Field(description="seed of data, initial parameters and batch order")
    status: str = Field(description="ok, or why there is no score")
    reason: str = Field(description="one line more")
    score: float = Field(description="on the held-out test split")
    validation_score: float = Field(description="on the validation split")
    num_steps: int | None = Field(description="optimiser steps taken")
    loss_first: float | None = Field(description="training loss of the first step")
    loss_last: float | None = Field(description="mean training loss of the last tenth of the steps")
    loss_curve: LossCurveShape | None = Field(
        description="the loss over the steps; null where none was finite, or where no curve was kept"
    )
    solved_step: int | None = Field(description="step from which the loss stayed low enough")
    gradient_norm_mean: float | None = Field(description="mean global gradient norm before clipping")
    gain: float | None = Field(description="of a graft: the share of the loss that is gone")
    retention_rise: float | None = Field(description="of a graft: by how much the old question's loss rose")
    gain_over_rival: float | None = Field(description="of a graft: its gain above a perceptron of its size")
    engine_id: str = Field(description="engine, version and instruction set")
    run_id: str = Field(description="the run that paid for it")
    generation: int = Field(description="the generation of that run")


class TrainingsAnswer(Shape):
    """The trainings of one blueprint, by task and seed."""

    rows: tuple[Training, ...]
    total: int = Field(description="how many there are, shown or not")


class Sizes(Shape):
    """How large a graph is, bodies included."""

    nodes: int
    edges: int
    depth: int


class TaskComparison(Shape):
    """Two blueprints on one task and its settings."""

    task: str = Field(description="the task's name")
    task_key: str = Field(description="the name and a hash of its knobs")
    first: IntervalShape | None = Field(description="null where it was never trained on the task")
    second: IntervalShape | None
    difference: IntervalShape | None = Field(description="second less first over the seeds of both")
    cka: float | None = Field(description="debiased CKA of their representations; null without both")


class CompareAnswer(Shape):
    """Two blueprints side by side."""

    first: BlueprintDetail
    second: BlueprintDetail
    first_sizes: Sizes | None = Field(description="null where this version cannot read the program")
    second_sizes: Sizes | None
    likeness: float | None = Field(description="cosine of Weisfeiler-Lehman features of both graphs")
    edit_distance: int = Field(description="tokens to insert, delete or replace")
    edits: tuple[Edit, ...] = Field(description="what turns the first program into the second")
    tasks: tuple[TaskComparison, ...]


class Health(Shape):
    """Whether the server can answer."""

    status: str = Field(description="`ok`; a library that cannot be read answers 503 instead")


class Point(Shape):
    """One blueprint as a point of the scatter plot."""

    id: str
    tokens: tuple[str, ...]
    family: str
    status: Status
    score: float
    reward: float | None
    num_parameters: int | None
    latency_us: float | None
    is_front: bool = Field(description="whether none of the others beats it in score, parameters and latency")


class ParetoAnswer(Shape):
    """Blueprints by score and cost, and those that no other beats."""

    points: tuple[Point, ...] = Field(description="the best, and all of the front; best score first")
    total: int = Field(description="how many the library has, all of which the front was chosen from")
    is_whole: bool = Field(description="whether the front is exact; else the library was too large")


class HeatTask(Shape):
    """A column of the heat map."""

    task: str = Field(description="the task's name")
    task_key: str = Field(description="the name and a hash of its knobs")
    chance: float
    solved: float


class HeatRow(Shape):
    """A row of the heat map."""

    blueprint: BlueprintRow
    scores: tuple[float | None, ...] = Field(description="mean test score by task; null where never trained")


class HeatAnswer(Shape):
    """Blueprints x tasks."""

    tasks: tuple[HeatTask, ...]
    rows: tuple[HeatRow, ...]


class RunRow(Shape):
    """One search in a list."""

    id: str = Field(description="the run's name")
    created: str = Field(description="ISO 8601 time of its start, in UTC")
    seed: int
    strategy: str = Field(description="what proposed programs; empty where it does not say")
    stage: str = Field(description="the curriculum's stage in the last generation")
    num_generations: int = Field(description="generations on record")
    num_blueprints: int = Field(description="blueprints that it was the first to bring")
    evaluations_total: int | None = Field(description="trainings that it paid for")
    best_so_far: float | None = Field(description="the best reward of it so far")
    reward_mean: float | None = Field(description="mean reward of its last generation")


class RunList(Shape):
    """Runs, newest first."""

    rows: tuple[RunRow, ...]
    total: int


class RunDetail(RunRow):
    """One search: how it was started and how far it is."""

    command: str = Field(description="the command line that starts the same run again")
    code_version: str
    language_version: str
    config: dict[str, Any] = Field(description="the resolved configuration")
    environment: dict[str, Any] = Field(description="versions of packages, machine, devices")
    metrics: dict[str, Any] = Field(description="the line of metrics of its last generation")


class MetricsAnswer(Shape):
    """A run's lines of metrics."""

    rows: tuple[dict[str, Any], ...] = Field(description="a generation each, in their order")
    stride: int = Field(description="every so many-th generation is given, and the last one")
    num_generations: int = Field(description="generations on record")
    next_after: int | None = Field(
        description="ask again with `after=` this for what is new; null before there is any"
    )
