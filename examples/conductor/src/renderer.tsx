import { connectElectron } from "ionbus/electron-renderer";
import { BusProvider } from "ionbus/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Window } from "./window.js";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <BusProvider bus={connectElectron()}>
      <Window />
    </BusProvider>
  </StrictMode>,
);
