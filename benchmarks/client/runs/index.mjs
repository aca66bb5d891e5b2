/**
 * What a client does in one turn of a workload, by name. A run is given the peer, what it is told, and the server; it gives the
 * seconds that it took, and more where it has more.
 */

import { bulk, callDuringBulk } from "./bulk.mjs";
import { call, eventsIn, eventsOut, latest, stream } from "./messages.mjs";
import { connect, crowd, encodings, fanOut, reconnect, start } from "./sessions.mjs";
import { wire } from "./wire.mjs";

export const runs = {
  bulk,
  call,
  "call-during-bulk": callDuringBulk,
  connect,
  crowd,
  encodings,
  "events-in": eventsIn,
  "events-out": eventsOut,
  "fan-out": fanOut,
  latest,
  reconnect,
  start,
  stream,
  wire,
};
