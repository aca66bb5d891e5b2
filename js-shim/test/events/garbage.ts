/** The collector of garbage, run when a test wants it. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** See to it that an object which nothing holds is gone, and that who asked to be told has been. */
export async function collected(object: WeakRef<object>): Promise<boolean> {
  for (let round = 0; round < 100 && object.deref() !== undefined; round++) {
    await turn(); // a WeakRef that was looked at holds on until the turn is over
    collect();
  }
  await turn();
  await turn();
  return object.deref() === undefined;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
