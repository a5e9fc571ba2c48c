"""Which nodes of many programs run together as one batched op; leaves tensors to layout.py and plan.py."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from crucible.program import HOST_GATE, HOST_GRAFT, HOST_MEAN, HOST_READOUT, HOST_SPREAD, Program, Signature

#: A node of one of the programs: (index of the program, index of the node).
Member = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes with one signature, none of which waits for another."""

    signature: Signature
    members: tuple[Member, ...]


def schedule(programs: Sequence[Program]) -> list[Group]:
    """Return groups in an order in which every input is ready.

    Greedy: next comes the signature of which the largest share of the remaining nodes is ready. The host's
    last ops wait for all programs.
    """
    remaining: Counter[Signature] = Counter()
    waiting: dict[Member, int] = {}
    ready: dict[Signature, list[Member]] = defaultdict(list)
    rank: dict[Member, tuple[int, int]] = {}
    for p, program in enumerate(programs):
        rank[p, 0] = (0, p)
        remaining.update(program.counts)
        for index, node in enumerate(program.nodes[1:], start=1):
            waiting[p, index] = sum(source != 0 for source in node.inputs)
            if not waiting[p, index]:
                ready[node.signature].append((p, index))
    groups: list[Group] = []
    while ready:
        signature = max(ready, key=lambda s: (s.op not in _LAST, len(ready[s]) / remaining[s], len(ready[s])))
        members = ready.pop(signature)
        # In the order of their first inputs, so that inputs tend to lie side by side.
        members.sort(key=lambda member: rank[member[0], programs[member[0]].nodes[member[1]].inputs[0]])
        remaining[signature] -= len(members)
        groups.append(Group(signature, tuple(members)))
        for place, (p, index) in enumerate(members):
            rank[p, index] = (len(groups), place)
            for user, _ in programs[p].users[index]:
                waiting[p, user] -= 1
                if not waiting[p, user]:
                    ready[programs[p].nodes[user].signature].append((p, user))
    return groups


_LAST = frozenset({HOST_GATE, HOST_GRAFT, HOST_MEAN, HOST_SPREAD, HOST_READOUT})
