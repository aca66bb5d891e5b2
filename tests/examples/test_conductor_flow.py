import pytest

from contracts import Edge, Flow, FlowInvalid, Node, Position
from flow import KINDS, find_problems, inputs_of, run_order, sample_flow, validate
from nodes import NODE_FUNCTIONS

ORIGIN = Position(x=0, y=0)


def node(node_id: str, kind: str) -> Node:
    return Node(id=node_id, kind=kind, title=node_id, position=ORIGIN)


def with_nodes(**kinds: str) -> Flow:
    """The sample flow with other kinds for some of its nodes."""
    flow = sample_flow()
    nodes = [one.model_copy(update={"kind": kinds.get(one.id, one.kind)}) for one in flow.nodes]
    return flow.model_copy(update={"nodes": nodes})


def with_edges(*added: tuple[str, str, str], without: str = "") -> Flow:
    """The sample flow without the edges into one node, and with others."""
    flow = sample_flow()
    edges = [edge for edge in flow.edges if edge.target != without]
    edges += [Edge(source=source, target=target, input=name) for source, target, name in added]
    return flow.model_copy(update={"edges": edges})


def plus_node(node_id: str, kind: str) -> Flow:
    flow = sample_flow()
    return flow.model_copy(update={"nodes": [*flow.nodes, node(node_id, kind)]})


EMPTY = Flow(id="empty", name="Empty", nodes=[], edges=[])

INVALID = {
    "unknown kind": (with_nodes(thumbs="images.hologram"), [("thumbs", "no node of kind “images.hologram”")]),
    "missing input": (with_edges(without="words"), [("words", "Nothing is connected to its input “files”.")]),
    "input fed twice": (with_edges(("list", "words", "files")), [("words", "More than one node")]),
    "no such input": (with_edges(("list", "words", "colour")), [("words", "It has no input “colour”.")]),
    "wrong type": (
        with_edges(("list", "duplicates", "hashes"), without="duplicates"),
        [("duplicates", "takes hashes, not files")],
    ),
    "source not there": (
        with_edges(("ghost", "words", "files"), without="words"),
        [("words", "comes from “ghost”, which is not in the flow")],
    ),
    "target not there": (with_edges(("hash", "ghost", "files")), [("hash", "leads to “ghost”")]),
    "circle": (
        with_edges(("duplicates", "hash", "files"), without="hash"),
        [
            ("hash", "takes files, not groups"),
            ("hash", "waits for its own output"),
            ("duplicates", "waits for its own output"),
        ],
    ),
    "own source": (
        with_edges(("words", "words", "files"), without="words"),
        [("words", "takes files, not number"), ("words", "waits for its own output")],
    ),
    "same id twice": (plus_node("list", "files.list"), [("list", "Two nodes have this id.")]),
    "two reports": (
        plus_node("second", "report.write"),
        [("second", "Nothing is connected")] * 4 + [("second", "writes the report already")],
    ),
    "no report": (
        Flow(id="f", name="f", nodes=[node("list", "files.list")], edges=[]),
        [(None, "No node writes a report.")],
    ),
    "no nodes": (EMPTY, [(None, "No node writes a report.")]),
}


@pytest.mark.parametrize(("flow", "expected"), INVALID.values(), ids=INVALID)
def test_what_is_wrong_is_told_node_by_node(flow: Flow, expected: list[tuple[str | None, str]]) -> None:
    problems = find_problems(flow)
    assert [problem.node_id for problem in problems] == [node_id for node_id, _ in expected]
    for problem, (_, part) in zip(problems, expected, strict=True):
        assert part in problem.message


@pytest.mark.parametrize(("flow", "expected"), INVALID.values(), ids=INVALID)
def test_an_invalid_flow_is_refused_with_the_ids_of_its_nodes(
    flow: Flow, expected: list[tuple[str | None, str]]
) -> None:
    with pytest.raises(FlowInvalid) as raised:
        validate(flow)
    assert raised.value.node_ids == list(dict.fromkeys(node_id for node_id, _ in expected if node_id))
    assert raised.value.problems == find_problems(flow)
    assert flow.name in str(raised.value)
    with pytest.raises(FlowInvalid):
        run_order(flow)


def test_the_sample_can_run() -> None:
    validate(sample_flow())


def test_every_node_comes_after_its_inputs() -> None:
    flow = sample_flow()
    order = [one.id for one in run_order(flow)]
    assert sorted(order) == sorted(one.id for one in flow.nodes)
    assert all(order.index(edge.source) < order.index(edge.target) for edge in flow.edges)
    assert (order[0], order[-1]) == ("list", "report")


def test_inputs_are_named() -> None:
    assert inputs_of(sample_flow(), "report") == {
        "hashes": "hash",
        "duplicates": "duplicates",
        "words": "words",
        "choice": "choose",
    }


def test_every_kind_can_be_run() -> None:
    assert KINDS.keys() == NODE_FUNCTIONS.keys()
