"""The broker of the room: what is said goes to everybody, and the last hundred messages are kept."""

from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

from generated.chat import Chat, Draft, Message, TooLong, Typing
from ionbus import Broker, Context

LIMIT = 140

broker = Broker(Chat)
said: deque[Message] = deque(maxlen=100)


@broker.handle(Chat.say)
async def say(draft: Draft) -> Message:
    if len(draft.text) > LIMIT:
        raise TooLong(limit=LIMIT)
    message = Message(id=uuid4(), at=datetime.now(UTC), author=draft.author, text=draft.text, mood=draft.mood)
    said.append(message)
    await broker.emit(Chat.said, message)
    return message


@broker.handle(Chat.history)
async def history(count: int) -> AsyncIterator[Message]:
    for message in list(said)[-count:]:
        yield message


@broker.on(Chat.typing)
async def typing(event: Typing, ctx: Context) -> None:
    print(f"{event.author} is typing")  # print is safe: it does not reach the pipe


if __name__ == "__main__":
    broker.run()
