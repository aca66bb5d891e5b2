import type { Bus } from "ionbus";
import { type Equal, expect } from "./equal.js";
import { type Cat, type Dog, type Pet, Shapes } from "./shapes.js";

expect<Equal<Pet, Cat | Dog>>();

export function describe(pet: Pet): number {
  switch (pet.kind) {
    case "cat":
      return pet.lives;
    case "dog":
      return pet.tricks.length;
  }
}

export async function unions(bus: Bus): Promise<void> {
  bus.on(Shapes.adopted, (pet) => expect<Equal<typeof pet, Pet>>());
  const pet = await bus.call(Shapes.adopt, { kind: "dog", tricks: ["sit"] });
  expect<Equal<typeof pet, Pet>>();
  // @ts-expect-error: which one it is has to be asked first
  pet.tricks;
  // @ts-expect-error: a cat has no tricks
  await bus.call(Shapes.adopt, { kind: "cat", lives: 9, tricks: [] });
  // @ts-expect-error: there are no birds
  await bus.call(Shapes.adopt, { kind: "bird" });
}
