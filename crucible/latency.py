"""Predicted forward latency of a graph from a table of ops measured once a device; leaves training aside."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from blueprints.compiler import BlueprintModule, Scan, modules_of
from blueprints.graph import INPUT, LOOP, SCAN, STATE, AttributeValue, Graph, Node
from blueprints.language import LANGUAGE, Language, resolve
from blueprints.types import WIDTHS, ValueType
from crucible.devices import find_device
from crucible.errors import CrucibleError
from crucible.stopwatch import Pairs, Stopwatch

#: Rounds over all ops that share out the repeats, so that no op is measured at one bad moment alone.
ROUNDS = 3
#: Calls in a row by which an op on single steps is measured as a scan runs it: its code stays in the cache.
SCAN_CALLS = 16
#: Ends the name of the row of such an op where it runs once, outside of scans.
_ONCE = ", once"
_SCAN_ROW = f"{SCAN} (sequence)"

#: (total width of the inputs in D, microseconds), by width.
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Median forward time of each op on one device, by itself, in a host of one width.

    Attributes:
        device: where it was measured.
        width: D of the host.
        time: T of sequences.
        batch_size: examples a forward pass.
        rows: op with its required attributes and the times of its inputs, to what it takes at some widths;
            optional attributes, which change no FLOPs, stand at their defaults. Ops on single steps alone
            have a second row, for running once rather than at every step of a scan; the row of a scan is
            what it takes a step beside its ops.
        reference_us: median of the stopwatch's reference meanwhile, which makes times of other moments and
            machines comparable; absent in a table that was not measured so.
    """

    device: str
    width: int
    time: int
    batch_size: int
    rows: Mapping[str, Curve] = field(repr=False)
    reference_us: float | None = None

    @classmethod
    def measure(
        cls,
        width: int = 16,
        time: int = 16,
        batch_size: int = 32,
        device: str = "cpu",
        repeats: int = 15,
        language: Language = LANGUAGE,
    ) -> "LatencyTable":
        """Measure every op of `language` at the named widths and every required attribute, on one thread.

        Each op is timed beside the stopwatch's reference, `repeats` times in all, and stands in the table as
        its ratio to it times the reference's median: what slows the machine for a while slows no row alone.
        """
        jobs = _jobs(language, width, time, batch_size, find_device(device))
        ratios, reference_us = _ratios(Stopwatch(device), jobs, repeats)
        rows: dict[str, Curve] = {}
        for job, ratio in zip(jobs, ratios, strict=True):
            rows[job.row] = (*rows.get(job.row, ()), (job.total_width, ratio * reference_us))
        sizes = {"width": width, "time": time, "batch_size": batch_size}
        return cls(device=device, **sizes, rows=rows, reference_us=reference_us)

    def predict(self, graph: Graph) -> float:
        """Return the predicted forward latency of `graph` in microseconds: the sum over its ops.

        Between two widths that were measured it is linear; beyond them it is that of the nearest. A loop
        takes its body's time for each repetition, a scan its body's for each of the table's steps.
        """
        return self._graph_us(graph, in_scan=False)

    def _graph_us(self, graph: Graph, in_scan: bool) -> float:
        nodes = enumerate(graph.nodes[1:], start=1)
        return sum(self._node_us(node, graph.input_types(i), in_scan) for i, node in nodes)

    def _node_us(self, node: Node, inputs: tuple[ValueType, ...], in_scan: bool) -> float:
        if node.op == STATE:
            return 0.0
        if node.body is not None and node.op == LOOP:
            return int(node.attribute("repeat")) * self._graph_us(node.body, in_scan)
        if node.body is not None:
            return self.time * (self._step_us + self._graph_us(node.body, in_scan=True))
        widths, microseconds = zip(*self._curve(node, inputs, in_scan), strict=True)
        return float(np.interp(_total_width(inputs), widths, microseconds))

    @property
    def _step_us(self) -> float:
        """What a scan takes a step beside its ops; nothing in a table that was measured without it."""
        return self.rows.get(_SCAN_ROW, ((1.0, 0.0),))[0][1]

    def _curve(self, node: Node, inputs: tuple[ValueType, ...], in_scan: bool) -> Curve:
        """Return the row of a node, whose last attributes are left out where they are optional."""
        for num in range(len(node.attributes), -1, -1):
            row = _row(node.op, node.attributes[:num], inputs)
            for name in (row,) if in_scan else (row + _ONCE, row):
                if name in self.rows:
                    return self.rows[name]
        raise CrucibleError(
            f"the latency table has no row '{_row(node.op, node.attributes, inputs)}'; measure it with that "
            f"op's language"
        )

    def check(self, width: int, device: str | torch.device) -> None:
        """Refuse a table that was measured for another width or kind of device than is asked for."""
        came, wanted = self.device.partition(":")[0], str(device).partition(":")[0]
        if (self.width, came) != (width, wanted):
            raise CrucibleError(
                f"the latency table was measured at width {self.width} on {came}; expected width {width} on "
                f"{wanted}: measure it there"
            )

    def save(self, path: str | Path) -> None:
        """Write the table as JSON; whatever ends the process, `path` holds a whole table or what it held."""
        path = Path(path)
        try:
            _replace(path, self.to_text())
        except OSError as error:
            raise CrucibleError(f"latency table {path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> "LatencyTable":
        """Read a table that `save` wrote."""
        try:
            return cls.from_text(Path(path).read_text())
        except OSError as error:
            raise CrucibleError(f"latency table {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CrucibleError(
                f"{path} is no latency table; expected JSON written by LatencyTable.save"
            ) from error

    def to_text(self) -> str:
        """Return the table as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "LatencyTable":
        """Return the table that `to_text` wrote; what went wrong otherwise is for who knows where it lay."""
        fields = json.loads(text)
        rows = {
            str(name): tuple((float(width), float(us)) for width, us in curve)
            for name, curve in fields.pop("rows").items()
        }
        return cls(rows=rows, **fields)


def _replace(path: Path, text: str) -> None:
    """Write `text` to a new file beside `path` and let it take its place once it is on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _row(op: str, attributes: Iterable[tuple[str, AttributeValue]], inputs: tuple[ValueType, ...]) -> str:
    label = " ".join([op, *(f"{name}={value}" for name, value in attributes)])
    return f"{label} ({', '.join(t.time for t in inputs)})"


def _total_width(inputs: tuple[ValueType, ...]) -> float:
    return float(sum(t.width for t in inputs))


def _nodes(language: Language) -> Iterator[tuple[Node, tuple[ValueType, ...]]]:
    """Yield every op with every required attribute, kind of inputs and named width, narrow inputs first."""
    for op in language.ops:
        times = ("sequence",) if op.needs_sequence else ("sequence", "single")
        defaults = tuple((a.name, a.default) for a in op.attributes if a.default is not None)
        for width, input_times, values in product(
            sorted(WIDTHS.values()),
            product(times, repeat=op.arity),
            product(*(a.tokens.values() for a in op.required)),
        ):
            required = zip((a.name for a in op.required), values, strict=True)
            attributes = (*required, *defaults)
            inputs = tuple(ValueType(time=t, width=width) for t in input_times)
            yield (
                Node(op.name, attributes, tuple(range(op.arity)), op.infer(inputs, dict(attributes))),
                inputs,
            )


class _Job(NamedTuple):
    """One op at one width: its row, the total width of its inputs, what runs it, on what, and how often."""

    row: str
    total_width: float
    run: Callable[..., object]
    inputs: list[torch.Tensor]
    times: int = 1


def _jobs(language: Language, width: int, time: int, batch_size: int, device: torch.device) -> list[_Job]:
    modules = modules_of(language)
    generator = torch.Generator().manual_seed(0)
    shared: dict[tuple[int, ValueType], torch.Tensor] = {}
    jobs = []
    # Modules draw their initial values from the global generator, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        for node, types in _nodes(language):
            for key in enumerate(types):
                if key not in shared:
                    shape = (batch_size, key[1].steps(time), key[1].channels(width))
                    shared[key] = torch.randn(shape, generator=generator).to(device)
            builder = modules[node.op]
            module = builder(types[0].channels(width), node.type.channels(width), resolve(node, width))
            row = _row(node.op, node.attributes[: len(language.table[node.op].required)], types)
            inputs = [shared[key] for key in enumerate(types)]
            job = _Job(row, _total_width(types), module.to(device).eval(), inputs)
            if all(t.time == "single" for t in types):
                jobs.append(job._replace(row=row + _ONCE))
                job = job._replace(run=partial(_in_a_row, job.run), times=SCAN_CALLS)
            jobs.append(job)
    return [*jobs, _scan_job(width, batch_size, device, generator)]


def _scan_job(width: int, batch_size: int, device: torch.device, generator: torch.Generator) -> _Job:
    """Return the scan whose body does nothing."""
    body = Graph((Node(INPUT, (), (), ValueType(time="single")),), stores=(0,))
    scan = Scan(BlueprintModule(body, width), width).to(device)
    x_BTD = torch.randn(batch_size, SCAN_CALLS, width, generator=generator).to(device)
    return _Job(_SCAN_ROW, 1.0, scan, [x_BTD], times=SCAN_CALLS)


def _in_a_row(run: Callable[..., object], *inputs: torch.Tensor) -> None:
    for _ in range(SCAN_CALLS):
        run(*inputs)


def _ratios(stopwatch: Stopwatch, jobs: Sequence[_Job], repeats: int) -> tuple[list[float], float]:
    """Return each job's ratio to the reference, its repeats shared out over rounds, and the latter's us."""
    rounds = min(ROUNDS, repeats)
    found: list[list[Pairs]] = [[] for _ in jobs]
    for _ in range(rounds):
        for pairs, job in zip(found, jobs, strict=True):
            pairs.append(stopwatch.pairs(job.run, job.inputs, -(-repeats // rounds)))
    reference_us = np.median(np.concatenate([p.reference_us for pairs in found for p in pairs]))
    ratios = [np.concatenate([p.module_us / p.reference_us for p in pairs]) for pairs in found]
    medians = [float(np.median(ratio)) / job.times for ratio, job in zip(ratios, jobs, strict=True)]
    return medians, float(reference_us)
