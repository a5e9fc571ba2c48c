"""Predicted forward latency of a graph from a table of ops measured once a device; leaves training aside."""

import json
import os
import statistics
import time as clock
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import torch

from blueprints.graph import Graph, Node
from blueprints.language import LANGUAGE, Language, resolve
from blueprints.modules import MODULES, ModuleBuilder
from blueprints.types import WIDTHS, ValueType
from crucible.engines.base import single_thread
from crucible.errors import CrucibleError

WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Median forward time of each op on one device, by itself, in a host of one width.

    Attributes:
        device: where it was measured.
        width: D of the host.
        time: T of sequences.
        batch_size: examples a forward pass.
        rows: op with attributes and input types, to microseconds.
    """

    device: str
    width: int
    time: int
    batch_size: int
    rows: Mapping[str, float] = field(repr=False)

    @classmethod
    def measure(
        cls,
        width: int = 16,
        time: int = 16,
        batch_size: int = 32,
        device: str = "cpu",
        repeats: int = 15,
        language: Language = LANGUAGE,
        modules: Mapping[str, ModuleBuilder] = MODULES,
    ) -> "LatencyTable":
        """Measure every op of `language` at every width and attribute, on one thread."""
        rows = {}
        generator = torch.Generator().manual_seed(0)
        # Modules draw their initial values from the global generator, which is the caller's.
        with torch.random.fork_rng(devices=[]), single_thread(), torch.inference_mode():
            for node, inputs in _nodes(language):
                module = modules[node.op](
                    inputs[0].channels(width), node.type.channels(width), resolve(node, width)
                ).to(device)
                x = [
                    torch.randn(batch_size, t.steps(time), t.channels(width), generator=generator).to(device)
                    for t in inputs
                ]
                rows[_row(node, inputs)] = _median_us(module, x, repeats)
        return cls(device=device, width=width, time=time, batch_size=batch_size, rows=rows)

    def predict(self, graph: Graph) -> float:
        """Return the predicted forward latency of `graph` in microseconds: the sum over its ops."""
        total = 0.0
        for index, node in enumerate(graph.nodes[1:], start=1):
            row = _row(node, graph.input_types(index))
            if row not in self.rows:
                raise CrucibleError(
                    f"the latency table has no row '{row}'; measure it with that op's language"
                )
            total += self.rows[row]
        return total

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
        text = json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
        path = Path(path)
        try:
            _replace(path, text)
        except OSError as error:
            raise CrucibleError(f"latency table {path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> "LatencyTable":
        """Read a table that `save` wrote."""
        try:
            fields = json.loads(Path(path).read_text())
            rows = {str(name): float(value) for name, value in fields.pop("rows").items()}
            return cls(rows=rows, **fields)
        except OSError as error:
            raise CrucibleError(f"latency table {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CrucibleError(
                f"{path} is no latency table; expected JSON written by LatencyTable.save"
            ) from error


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


def _row(node: Node, inputs: tuple[ValueType, ...]) -> str:
    return f"{node.label} ({', '.join(f'{t.width} {t.time}' for t in inputs)})"


def _nodes(language: Language) -> Iterator[tuple[Node, tuple[ValueType, ...]]]:
    """Yield every op with every attribute, input width and time that a graph of `language` can hold."""
    for op in language.rows:
        times = ("sequence",) if op.needs_sequence else ("sequence", "single")
        attributes = [
            tuple(zip((a.name for a in op.attributes), values, strict=True))
            for values in product(*(a.tokens.values() for a in op.attributes))
        ]
        for width, input_times, chosen in product(
            WIDTHS.values(), product(times, repeat=op.arity), attributes
        ):
            inputs = tuple(ValueType(time=t, width=width) for t in input_times)
            type_ = op.infer(inputs, dict(chosen))
            yield Node(op.name, chosen, tuple(range(op.arity)), type_), inputs


def _median_us(module: torch.nn.Module, x: list[torch.Tensor], repeats: int) -> float:
    def wait() -> None:
        if x[0].device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        module(*x)
    wait()
    times = []
    for _ in range(repeats):
        start = clock.perf_counter()
        module(*x)
        wait()
        times.append(clock.perf_counter() - start)
    return statistics.median(times) * 1e6
