"""Flows as graphs: which kinds of node there are, whether a flow can run, and in which order. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from contracts import Edge, Flow, FlowInvalid, FlowProblem, Node, Position


@dataclass(frozen=True)
class Kind:
    """What a kind of node takes and gives: inputs by name with the type of value each takes."""

    output: str
    inputs: Mapping[str, str] = field(default_factory=dict)


REPORT_KIND = "report.write"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "files.list": Kind(output="files"),
        "files.hash": Kind(output="hashes", inputs={"files": "files"}),
        "files.duplicates": Kind(output="groups", inputs={"hashes": "hashes"}),
        "text.count": Kind(output="number", inputs={"files": "files"}),
        "images.thumbnails": Kind(output="images", inputs={"files": "files"}),
        "images.choose": Kind(output="choice", inputs={"images": "images"}),
        REPORT_KIND: Kind(
            output="report",
            inputs={"hashes": "hashes", "duplicates": "groups", "words": "number", "choice": "choice"},
        ),
    }
)


def sample_flow() -> Flow:
    """The flow that the window opens with: three lanes from one folder into one report."""
    return Flow(
        id="flow_photo_report",
        name="Photo report",
        nodes=[
            Node(id="list", kind="files.list", title="List folder", position=Position(x=0, y=156)),
            Node(id="hash", kind="files.hash", title="Hash files", position=Position(x=284, y=56)),
            Node(
                id="duplicates",
                kind="files.duplicates",
                title="Find duplicates",
                position=Position(x=568, y=0),
            ),
            Node(id="words", kind="text.count", title="Count words", position=Position(x=284, y=156)),
            Node(
                id="thumbs",
                kind="images.thumbnails",
                title="Make thumbnails",
                position=Position(x=284, y=256),
            ),
            Node(id="choose", kind="images.choose", title="Choose images", position=Position(x=568, y=256)),
            Node(id="report", kind="report.write", title="Write report", position=Position(x=852, y=156)),
        ],
        edges=[
            Edge(source="list", target="hash", input="files"),
            Edge(source="list", target="words", input="files"),
            Edge(source="list", target="thumbs", input="files"),
            Edge(source="hash", target="duplicates", input="hashes"),
            Edge(source="thumbs", target="choose", input="images"),
            Edge(source="hash", target="report", input="hashes"),
            Edge(source="duplicates", target="report", input="duplicates"),
            Edge(source="words", target="report", input="words"),
            Edge(source="choose", target="report", input="choice"),
        ],
    )


def find_problems(flow: Flow) -> list[FlowProblem]:
    """Everything that keeps `flow` from running, in the order of its nodes; empty: it can run."""
    nodes = {node.id: node for node in flow.nodes}
    found: list[FlowProblem] = []

    seen: set[str] = set()
    for node in flow.nodes:
        if node.id in seen:
            found.append(FlowProblem(node_id=node.id, message="Two nodes have this id."))
        elif node.kind not in KINDS:
            found.append(FlowProblem(node_id=node.id, message=f"There is no node of kind “{node.kind}”."))
        else:
            found.extend(
                _input_problems(node, [edge for edge in flow.edges if edge.target == node.id], nodes)
            )
        seen.add(node.id)

    for edge in flow.edges:
        if edge.target not in nodes:
            missing = f"An edge leads to “{edge.target}”, which is not in the flow."
            found.append(FlowProblem(node_id=edge.source, message=missing))

    found.extend(
        FlowProblem(node_id=node_id, message="It waits for its own output.") for node_id in _find_cycle(flow)
    )
    reports = [node for node in flow.nodes if node.kind == REPORT_KIND]
    found.extend(
        FlowProblem(node_id=node.id, message="Another node writes the report already.")
        for node in reports[1:]
    )
    if not reports:
        found.append(FlowProblem(node_id=None, message="No node writes a report."))

    place = {node_id: index for index, node_id in enumerate(nodes)}
    return sorted(found, key=lambda problem: place.get(problem.node_id or "", len(place)))


def validate(flow: Flow) -> None:
    """Refuse a flow that cannot run.

    Raises:
        FlowInvalid: with every problem, and the ids of the nodes that have one.
    """
    problems = find_problems(flow)
    if not problems:
        return
    node_ids = list(dict.fromkeys(problem.node_id for problem in problems if problem.node_id))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise FlowInvalid(
        node_ids=node_ids,
        problems=problems,
        message=f"The flow “{flow.name}” cannot run: {count}. {problems[0].message}",
    )


def run_order(flow: Flow) -> list[Node]:
    """The nodes of a valid flow, each after those that it takes its inputs from.

    Raises:
        FlowInvalid: the flow cannot run.
    """
    validate(flow)
    nodes = {node.id: node for node in flow.nodes}
    return [nodes[node_id] for node_id in TopologicalSorter(_sources_by_target(flow)).static_order()]


def inputs_of(flow: Flow, node_id: str) -> dict[str, str]:
    """The ids of the nodes that feed `node_id`, by the name of the input that each feeds."""
    return {edge.input: edge.source for edge in flow.edges if edge.target == node_id}


def _input_problems(node: Node, edges: list[Edge], nodes: Mapping[str, Node]) -> list[FlowProblem]:
    wanted = KINDS[node.kind].inputs
    messages: list[str] = []
    for name in wanted:
        feeding = [edge for edge in edges if edge.input == name]
        if not feeding:
            messages.append(f"Nothing is connected to its input “{name}”.")
        elif len(feeding) > 1:
            messages.append(f"More than one node is connected to its input “{name}”.")
    for edge in edges:
        if edge.input not in wanted:
            messages.append(f"It has no input “{edge.input}”.")
        elif edge.source not in nodes:
            messages.append(f"Its input “{edge.input}” comes from “{edge.source}”, which is not in the flow.")
        elif (given := KINDS.get(nodes[edge.source].kind)) and given.output != wanted[edge.input]:
            messages.append(f"Its input “{edge.input}” takes {wanted[edge.input]}, not {given.output}.")
    return [FlowProblem(node_id=node.id, message=message) for message in messages]


def _find_cycle(flow: Flow) -> list[str]:
    try:
        TopologicalSorter(_sources_by_target(flow)).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle[1:]  # the first node stands at the end too
    return []


def _sources_by_target(flow: Flow) -> dict[str, list[str]]:
    ids = {node.id for node in flow.nodes}
    return {
        node.id: [edge.source for edge in flow.edges if edge.target == node.id and edge.source in ids]
        for node in flow.nodes
    }
