/** The payload of 150 B, for runs that have another as their own. */

import { readFileSync } from "node:fs";

export const PROGRESS = JSON.parse(
  readFileSync(new URL("../payloads/progress-150B.json", import.meta.url), "utf8"),
);
