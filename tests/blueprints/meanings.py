"""Weights drawn from what a node computes, so that graphs that mean the same do the same; trains nothing."""

import hashlib
from collections.abc import Iterator

import torch
from torch import nn

from blueprints import LANGUAGE, canonical_form, structural_hash
from blueprints.compiler import BlueprintModule, Loop, Scan
from blueprints.graph import Graph


def draw_by_meaning(module: BlueprintModule, seed: str) -> None:
    """Draw the weights of each node from what it computes: equal meanings have equal weights."""
    for meaning, op in meanings(module.graph, module, seed):
        generator = torch.Generator().manual_seed(int(meaning[:12], 16))
        for parameter in op.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)


def meanings(graph: Graph, module: BlueprintModule, seed: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield a digest of what each node computes, and its module; inside a body the node around it counts too.

    All states of a scan have one digest: what tells them apart may be renumbered. An op without parameters
    that changes nothing computes what the op before it computes.
    """
    digests: list[str] = [seed]
    seen: list[str] = [graph.nodes[0].op]
    for node, op in zip(graph.nodes[1:], module.ops, strict=True):
        row = LANGUAGE.table.get(node.op)
        inputs = [digests[i] for i in node.inputs]
        if row is not None and seen[node.inputs[0]] in row.no_op_after and not list(op.parameters()):
            digests.append(inputs[0])
            seen.append(seen[node.inputs[0]])
            continue
        seen.append(node.op)
        inputs = sorted(inputs) if row is not None and row.commutative else inputs
        label = node.op if node.op == "STATE" else node.label
        digests.append(hashlib.sha256("|".join([label, *inputs, _body(node.body)]).encode()).hexdigest())
        if isinstance(op, Loop | Scan):
            yield from meanings(op.body.graph, op.body, digests[-1])
        else:
            yield digests[-1], op


def _body(body: Graph | None) -> str:
    return "" if body is None else structural_hash(canonical_form(body))
