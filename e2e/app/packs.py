"""A broker of the contract packs: each component that a client mounts sets a run going, whose life every client is told.

`python packs.py` serves it as launchers and shells have it.
"""

from ionbus import Broker
from ionbus.packs.ui import ComponentMounted, Ui
from ionbus.packs.workflow import FlowRun, NodeOutline, Workflow

broker = Broker(Workflow, Ui)


@broker.on(Ui.component.mounted)
async def run(event: ComponentMounted) -> None:
    nodes = [
        NodeOutline(id="draw", title="Draw", kind="image.draw"),
        NodeOutline(id="send", title="Send", kind="image.send", after=["draw"]),
    ]
    life = FlowRun(
        broker.emit, execution_id=event.component_id, flow_id="picture", name=event.name, nodes=nodes
    )
    async with life:
        async with life.node("draw") as node:
            await node.progress(50, "half of it")
            await node.log("été", colour="teal")
            await node.output("a.jpg", "image/jpeg", b"\xff\xd8\x00", {"width": "64"})
        async with life.node("send"):
            pass
        life.summary = "one picture"


if __name__ == "__main__":
    broker.run()
