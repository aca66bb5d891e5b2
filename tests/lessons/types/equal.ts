export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles where what is claimed is so. */
export function expect<_Claim extends true>(): void {}
