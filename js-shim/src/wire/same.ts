/** Equality of values that travel. */

/** Whether two values are the same, whatever is in them; a number and a bigint are where they say the same. */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other) || one === other) return true;
  if (typeof one === "bigint" || typeof other === "bigint") return isSameNumber(one, other);
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  if (one instanceof Set || one instanceof Map) return areSameMembers([...one], [...(other as typeof one)]);
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every(
      (name) => Object.hasOwn(other, name) && isSame(Reflect.get(one, name), Reflect.get(other, name)),
    ) &&
    (names.length > 0 || String(one) === String(other))
  );
}

/** A bigint and a number that say the same. */
function isSameNumber(one: unknown, other: unknown): boolean {
  const are = [one, other].every((each) => typeof each === "number" || typeof each === "bigint");
  return are && (one as number) <= (other as number) && (one as number) >= (other as number);
}

/** In any order; most are in the same one, which is looked at first. */
function areSameMembers(some: readonly unknown[], others: readonly unknown[]): boolean {
  if (some.length !== others.length) return false;
  return some.every(
    (each, index) => isSame(each, others[index]) || others.some((other) => isSame(each, other)),
  );
}
