import { connectElectron } from "ionbus/electron-renderer";
import { compose } from "ionbus/middleware";
import { BusProvider } from "ionbus/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createCallBook } from "./calls.js";
import { Window } from "./window.js";

const book = createCallBook();
const bus = connectElectron({ middleware: compose(book.middleware) });

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <BusProvider bus={bus}>
      <Window book={book} />
    </BusProvider>
  </StrictMode>,
);
