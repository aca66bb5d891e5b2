import { expect, test } from "vitest";
import * as Frame from "../../src/generated/frame.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { Connection } from "../../src/session/connection.js";
import { encodeControl } from "../../src/wire/frames.js";

const ODD: readonly (readonly [name: string, value: unknown])[] = [
  ["a text that would be cut within a character", `${"x".repeat(59)}𝄞𝄞`],
  ["a map that will not be a text", { toString: 1, valueOf: 2 }],
  ["a map that names its maker", { constructor: "what" }],
  ["a list of such", [{ toString: null }]],
  ["bytes", new Uint8Array(100_000)],
];

test.each(ODD)("a WELCOME with %s is a violation like any other", (_name, value) => {
  const connection = new Connection(
    DEFAULT_LIMITS,
    (size) => new Uint8Array(size),
    () => 0.5,
    "test",
  );
  connection.effects();
  connection.opened(undefined, false, 0);
  connection.nextFrame(0);
  connection.receive(encodeControl(Frame.Welcome, { protocol: value }), 0);
  expect(connection.effects()).toContainEqual(
    expect.objectContaining({ type: "close_channel", code: "protocol_error" }),
  );
  expect(connection.nextFrame(0)?.[1]).toBe(Frame.Close);
});
