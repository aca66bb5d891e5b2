/** A visitor of the room: starts the broker, says something, and reads what was said. */
import { launchBroker } from "ionbus/node";
import { Chat, TooLong } from "./generated/chat.js";

const broker = launchBroker({ command: process.env["PYTHON"] ?? "python", args: ["chat_broker.py"] });
await broker.ready;
const bus = broker.connect();

bus.on(Chat.said, (message) => console.log(`heard: ${message.author}: ${message.text} (${message.mood})`));

await bus.emit(Chat.typing, { author: "Ada" });
await bus.call(Chat.say, { author: "Ada", text: "Hello" });
const answer = await bus.call(Chat.say, { author: "Bob", text: "Hello, Ada", mood: "happy" });
console.log(`said, with an id of ${String(answer.id).length} characters`);

try {
  await bus.call(Chat.say, { author: "Eve", text: "?".repeat(200) });
} catch (error) {
  if (!(error instanceof TooLong)) throw error;
  console.log(`refused: ${error.message} At most ${error.limit} characters.`);
}

for await (const message of bus.stream(Chat.history, 10)) console.log(`history: ${message.text}`);

await broker.stop();
