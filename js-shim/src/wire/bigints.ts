/**
 * Integers that a contract declares to have 64 bits: a small one travels like any integer, and is a `bigint` where it
 * arrives. Where they are, the generator knows.
 */

/** Paths within a payload, as `items[].id`, `pair[1]`, `rest[2..]`, `by_name{}`, `by_id{key}`, `children[]:Tree`. */
export type Paths = readonly string[];

/** Where a member's payloads, or an error's fields, hold integers of 64 bits. */
export interface BigintPaths {
  /** In what a client receives. */
  readonly received?: Paths;
  /** In what a client sends. */
  readonly sent?: Paths;
  /** In each recursive type; a path that ends in `:Tree` goes on in those of `Tree`. */
  readonly shapes?: { readonly [name: string]: Paths };
}

/** What is known of one place in a payload. */
interface Place {
  isBigint: boolean;
  readonly shapes: string[];
  /** By the step that leads there: `.name`, `[]`, `[1]`, `[2..]`, `{}`, `{key}`. */
  readonly below: Map<string, Place>;
}

const compiled = new WeakMap<object, Place>();

/** Gives a value with its 64-bit integers as `bigint`; arrays and objects are changed in place. */
export type Conversion = (value: unknown) => unknown;

/** What makes the integers `bigint`, for descriptors to carry; undefined where there are none. */
export interface Bigints {
  readonly received: Conversion | undefined;
  readonly sent: Conversion | undefined;
}

/** Make the conversions of a member's payloads, or of an error's fields. */
export function bigintsAt({ received, sent, shapes = {} }: BigintPaths): Bigints {
  const at = (paths: Paths | undefined): Conversion | undefined =>
    paths && ((value) => convert(value, placeOf(paths), shapes));
  return { received: at(received), sent: at(sent) };
}

const STEP = /\[("(?:[^"\\]|\\.)*")\]|\[\d*(?:\.\.)?\]|\{(?:key)?\}|:(.+)$|\.?([A-Za-z_$][\w$]*)/y;

function placeOf(paths: Paths): Place {
  let root = compiled.get(paths);
  if (root === undefined) {
    root = emptyPlace();
    for (const path of paths) add(root, path);
    compiled.set(paths, root);
  }
  return root;
}

function emptyPlace(): Place {
  return { isBigint: false, shapes: [], below: new Map() };
}

function add(root: Place, path: string): void {
  let place = root;
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length) {
    const match = STEP.exec(path);
    if (match === null) throw new TypeError(`${path}: not a path to an integer of 64 bits`);
    const [step, quoted, shape, name] = match;
    if (shape !== undefined) {
      place.shapes.push(shape);
      return;
    }
    const key = quoted !== undefined ? `.${JSON.parse(quoted)}` : name !== undefined ? `.${name}` : step;
    let next = place.below.get(key);
    if (next === undefined) {
      next = emptyPlace();
      place.below.set(key, next);
    }
    place = next;
  }
  place.isBigint = true;
}

function convert(value: unknown, place: Place, shapes: { readonly [name: string]: Paths }): unknown {
  if (typeof value === "number") return place.isBigint && Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value !== "object" || value === null) return value;
  let result: unknown = value;
  for (const name of place.shapes) result = convert(result, placeOf(shapes[name] ?? []), shapes);
  const { below } = place;
  if (below.size === 0) return result;
  const follow = (part: unknown, step: string): unknown => {
    const next = below.get(step);
    return next === undefined ? part : convert(part, next, shapes);
  };
  if (Array.isArray(result)) convertArray(result, below, follow);
  else if (result instanceof Set) result = new Set([...result].map((member) => follow(member, "[]")));
  else if (result instanceof Map) {
    result = new Map([...result].map(([key, member]) => [follow(key, "{key}"), follow(member, "{}")]));
  } else convertObject(result as Record<string, unknown>, follow);
  return result;
}

function convertArray(
  array: unknown[],
  below: ReadonlyMap<string, Place>,
  follow: (part: unknown, step: string) => unknown,
): void {
  const rests = [...below.keys()].filter((step) => step.endsWith("..]"));
  array.forEach((member, index) => {
    let changed = follow(follow(member, "[]"), `[${index}]`);
    for (const step of rests)
      if (index >= Number.parseInt(step.slice(1), 10)) changed = follow(changed, step);
    array[index] = changed;
  });
}

function convertObject(
  object: Record<string, unknown>,
  follow: (part: unknown, step: string) => unknown,
): void {
  if (ArrayBuffer.isView(object)) return;
  for (const [name, member] of Object.entries(object)) {
    const changed = follow(follow(member, "{}"), `.${name}`);
    if (changed !== member) object[name] = changed;
  }
}
