"""Where results come from, as columns that a page shows from left to right: photos → dictionary → model → results."""

from dataclasses import dataclass

from clc.store import Lineage, Version, lineage, short_id


@dataclass(frozen=True)
class Origin:
    """A version or a photo source. inputs: what it was made from, as `name` of other origins."""

    name: str
    stage: str | None
    inputs: tuple[str, ...]
    present: bool


def lineage_columns(version: Version) -> list[list[Origin]]:
    """Everything that a version was made from, each in a column to the right of all of its inputs; the version last."""
    root = lineage(version)
    depth: dict[str, int] = {}
    nodes: dict[str, Lineage] = {}

    def place(node: Lineage) -> int:
        if node.ref not in depth:
            nodes[node.ref] = node
            depth[node.ref] = max((place(source) + 1 for source in node.inputs.values()), default=0)
        return depth[node.ref]

    columns: list[list[Origin]] = [[] for _ in range(place(root) + 1)]
    for ref, node in nodes.items():
        inputs = tuple(dict.fromkeys(_name(source.ref) for source in node.inputs.values()))
        columns[depth[ref]].append(Origin(_name(ref), node.stage, inputs, node.present))
    return columns


def _name(ref: str) -> str:
    kind, _, id = ref.partition("/")
    return f"{kind}/{short_id(id)}"
