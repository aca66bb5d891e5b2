/** All targets, from the wire upwards. */

import { channelTargets } from "./channel-targets.js";
import type { Target } from "./driver.js";
import { engineTargets } from "./engine-targets.js";
import { wireTargets } from "./wire-targets.js";

export function targets(): Target[] {
  return [...wireTargets(), ...engineTargets(), ...channelTargets()];
}
