/** A program of Node.js that is killed (tests/trials/kill.py): it launches a broker and keeps it busy. */
import { launchBroker } from "ionbus/node";
import { Lab } from "../page/lab.js";

const { launch, hang } = JSON.parse(process.env["KILL_SETTINGS"] ?? "{}");
const broker = launchBroker(launch);
const lab = new Lab(broker.connect());
lab.load();
if (hang) await lab.hang(hang);
else await lab.bus.call(lab.Probe.pid);
console.log(JSON.stringify({ pid: broker.pid }));
