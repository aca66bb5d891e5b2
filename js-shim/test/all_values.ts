/** Tests know values of every kind, as a program in Node.js does; which of them a page knows is in wire/kinds.test.ts. */

import { allValues } from "../src/wire/all_values.js";
import { know } from "../src/wire/values.js";

know(allValues);
