"""A small graph network that learns a sample of blueprints; projects and clusters nothing.

A graph isomorphism network (Xu et al. 2019) whose messages carry the kind and direction of their edge, as in
Hu et al. 2020. It learns two things at once, both from the sample itself: how often each op occurs in a graph
of which a part of the ops was hidden, which needs no label, and the reward of four fifths of the blueprints
that have one. The other fifth measures it.

Axes: M members, E embedding, O ops, N nodes, F features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import BaseData
from torch_geometric.nn import GINEConv, global_max_pool, global_mean_pool

from blueprints.graph import INPUT, STATE, Graph
from blueprints.pyg import EDGE_KINDS, pyg_columns, pyg_ops, to_pyg
from tamiyo.space_records import SpaceSettings

_WIDTH, _NUM_LAYERS, _BATCH_SIZE, _LEARNING_RATE = 64, 3, 128, 3e-3
#: Share of the nodes whose op is hidden while it learns.
_HIDDEN = 0.3
#: Share of the blueprints with a reward that is held out.
_HELD_OUT = 0.2
#: Fewer held-out rewards than this say nothing of a rank correlation.
_FEWEST_HELD_OUT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the network made of a sample.

    Attributes:
        embeddings: of the members in their order, around their mean, `[M, E]`.
        num_held_out: members whose rewards it never saw.
        correlation: Spearman's of predicted with actual reward among them; absent where they are too few.
        counts_correlation: the same of ridge regression on the counts of ops.
    """

    embeddings: Tensor
    num_held_out: int
    correlation: float | None
    counts_correlation: float | None


class SpaceNetwork(nn.Module):
    """Embeds graphs, and foretells counts of ops and reward from the embedding."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        num_ops, num_columns = len(pyg_ops()), len(pyg_columns()) - 1
        self.hidden_op = num_ops
        self.op = nn.Embedding(num_ops + 1, _WIDTH)
        self.attributes = nn.Linear(num_columns, _WIDTH)
        self.layers = nn.ModuleList(
            GINEConv(
                nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH)),
                train_eps=True,
                edge_dim=2 * len(EDGE_KINDS) + 1,
            )
            for _ in range(_NUM_LAYERS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(_WIDTH) for _ in range(_NUM_LAYERS))
        self.readout = nn.Linear(2 * _WIDTH + 1, embedding_size)
        self.counts = nn.Linear(embedding_size, num_ops)
        self.reward = nn.Sequential(nn.ReLU(), nn.Linear(embedding_size, 1))

    def forward(self, graphs: Batch, is_hidden_N: Tensor | None = None) -> Tensor:
        """Return the embeddings `[M, E]` of M graphs; ops of nodes that are hidden it does not see."""
        data: Any = graphs
        ops_N = data.x[:, 0].long()
        if is_hidden_N is not None:
            ops_N = torch.where(is_hidden_N, self.hidden_op, ops_N)
        h_NF = self.op(ops_N) + self.attributes(data.x[:, 1:])
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h_NF = h_NF + norm(layer(h_NF, data.edge_index, data.edge_attr)).relu()
        num_nodes_M = torch.bincount(data.batch).float().log().unsqueeze(1)
        pooled = (global_mean_pool(h_NF, data.batch), global_max_pool(h_NF, data.batch), num_nodes_M)
        return self.readout(torch.cat(pooled, dim=1))


def op_counts(graphs: Sequence[Graph]) -> tuple[Tensor, tuple[str, ...]]:
    """Return how often each op occurs in each graph `[M, O]`, and the ops; inputs and states are none."""
    ops = tuple(op for op in pyg_ops() if op not in (INPUT, STATE))
    number = {op: index for index, op in enumerate(ops)}
    counts_MO = torch.zeros(len(graphs), len(ops))
    for row, graph in enumerate(graphs):
        for node in graph.all_nodes():
            if node.op in number:
                counts_MO[row, number[node.op]] += 1
    return counts_MO, ops


def embed(
    graphs: Sequence[Graph],
    counts_MO: Tensor,
    rewards: Sequence[float | None],
    settings: SpaceSettings,
    progress: Callable[[str, float], None],
) -> Learned:
    """Train a network on the graphs and return its embeddings."""
    data: list[BaseData] = [_data(graph) for graph in graphs]
    progress("learning", 0.2)
    generator = torch.Generator().manual_seed(settings.seed)
    train, held_out = _split(rewards, generator)
    reward_M = torch.tensor([float("nan") if reward is None else reward for reward in rewards])
    scaled_M = torch.full_like(reward_M, float("nan"))
    if train:
        known = reward_M[train]
        scaled_M[train] = (known - known.mean()) / known.std().clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = SpaceNetwork(settings.embedding_size)
    _train(network, data, scaled_M, settings, generator, progress)
    with torch.no_grad():
        embeddings_ME = torch.cat([network(Batch.from_data_list(part)) for part in _parts(data)])
        foretold_M = network.reward(embeddings_ME).squeeze(1)
    return Learned(
        embeddings=embeddings_ME - embeddings_ME.mean(dim=0),
        num_held_out=len(held_out),
        correlation=_correlation(foretold_M[held_out], reward_M[held_out]),
        counts_correlation=_counts_correlation(counts_MO, reward_M, train, held_out),
    )


def _data(graph: Graph) -> Data:
    """Return a graph whose edges are walked both ways: columns are kind, kind against the arrow, and slot."""
    data: Any = to_pyg(graph)
    num_kinds = len(EDGE_KINDS)
    kinds, slots = data.edge_attr[:, 0], data.edge_attr[:, 1:].float() / 4
    ways = [nn.functional.one_hot(kinds + shift, 2 * num_kinds).float() for shift in (0, num_kinds)]
    edges = torch.cat((data.edge_index, data.edge_index.flip(0)), dim=1)
    return Data(x=data.x, edge_index=edges, edge_attr=torch.cat([torch.cat((w, slots), dim=1) for w in ways]))


def _split(rewards: Sequence[float | None], generator: torch.Generator) -> tuple[list[int], list[int]]:
    """Return the members whose rewards are learned from, and those held out."""
    known = [index for index, reward in enumerate(rewards) if reward is not None]
    order = [known[place] for place in torch.randperm(len(known), generator=generator).tolist()]
    num = round(_HELD_OUT * len(order))
    return sorted(order[num:]), sorted(order[:num])


def _train(
    network: SpaceNetwork,
    data: Sequence[BaseData],
    reward_M: Tensor,
    settings: SpaceSettings,
    generator: torch.Generator,
    progress: Callable[[str, float], None],
) -> None:
    """Learn for `num_steps`, at a rate that falls to nothing; rewards that are NaN teach nothing."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.num_steps)
    for step, part in enumerate(islice(_batches(len(data), generator), settings.num_steps), start=1):
        graphs: Any = Batch.from_data_list([data[index] for index in part.tolist()])
        is_hidden_N = torch.rand(graphs.num_nodes, generator=generator) < _HIDDEN
        embeddings_ME = network(graphs, is_hidden_N)
        wanted_MO = _counts(graphs, network.hidden_op).log1p()
        loss = nn.functional.mse_loss(network.counts(embeddings_ME), wanted_MO)
        is_known_M = ~reward_M[part].isnan()
        if is_known_M.any():
            foretold_M = network.reward(embeddings_ME[is_known_M]).squeeze(1)
            loss = loss + nn.functional.smooth_l1_loss(foretold_M, reward_M[part][is_known_M])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            progress("learning", 0.2 + 0.4 * step / settings.num_steps)


def _batches(num: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield members in an order drawn anew for each pass, without an end."""
    while True:
        yield from torch.randperm(num, generator=generator).split(_BATCH_SIZE)


def _counts(graphs: Batch, num_ops: int) -> Tensor:
    """Return how often each op occurs in each graph, `[M, O]`, inputs and states included."""
    data: Any = graphs
    places_N = data.batch * num_ops + data.x[:, 0].long()
    return torch.bincount(places_N, minlength=data.num_graphs * num_ops).view(-1, num_ops).float()


def _parts(data: Sequence[BaseData]) -> list[list[BaseData]]:
    return [list(data[start : start + _BATCH_SIZE]) for start in range(0, len(data), _BATCH_SIZE)]


def _counts_correlation(
    counts_MO: Tensor, reward_M: Tensor, train: list[int], held_out: list[int]
) -> float | None:
    """Return what a linear model without edges reaches on the same members."""
    if len(held_out) < _FEWEST_HELD_OUT:
        return None
    ridge = Ridge().fit(counts_MO[train].log1p().numpy(), reward_M[train].numpy())
    return _correlation(
        torch.from_numpy(ridge.predict(counts_MO[held_out].log1p().numpy())), reward_M[held_out]
    )


def _correlation(foretold: Tensor, actual: Tensor) -> float | None:
    """Return Spearman's rank correlation; absent for few members, or where either never varies."""
    if len(actual) < _FEWEST_HELD_OUT or foretold.std() == 0 or actual.std() == 0:
        return None
    found: Any = spearmanr(foretold.numpy(), actual.numpy())
    return round(float(found.statistic), 4)
