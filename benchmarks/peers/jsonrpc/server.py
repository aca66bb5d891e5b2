"""JSON-RPC over stdio, as language servers have it: pygls, with its own reader on a thread."""

from typing import Any

from benchmarks.models import KINDS
from benchmarks.serving import options

options()

from cattrs import Converter
from pygls.protocol import JsonRPCNotification, JsonRPCProtocol, JsonRPCRequestMessage
from pygls.server import JsonRPCServer

from benchmarks.service import EVENTS, Service, usage


def converter() -> Converter:
    """Leaves params as they are: its own would make objects of what pydantic is to validate."""
    made = Converter()
    for message in (JsonRPCRequestMessage, JsonRPCNotification):
        made.register_structure_hook(message, lambda fields, made_of: made_of(**fields))
    return made


server = JsonRPCServer(JsonRPCProtocol, converter)
service = Service()


async def received(request: dict[str, int]) -> int:
    return await service.received(request["count"])


async def tell_usage(nothing: Any) -> float:
    return usage()


def register(kind: str) -> None:
    """The call and the events of one kind of payload."""
    model, event = KINDS[kind], EVENTS[kind]

    async def call(payload: Any) -> Any:
        return model.model_validate(payload).model_dump()

    async def handle(payload: Any) -> None:
        await service.handle(model.model_validate(payload))

    async def publish(request: dict[str, int]) -> None:
        for _ in range(request["count"]):
            server.protocol.notify(f"out/{kind}", event.model_dump())

    server.feature(f"call/{kind}")(call)
    server.feature(f"in/{kind}")(handle)
    server.feature(f"publish/{kind}")(publish)


for each in KINDS:
    register(each)
server.feature("received")(received)
server.feature("usage")(tell_usage)

if __name__ == "__main__":
    server.start_io()
