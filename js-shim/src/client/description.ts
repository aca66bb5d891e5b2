/** What a broker asks for that serves another form of a contract than this client was built with. */

import type { ContractReference } from "../contract.js";

/** The canonical description with a fingerprint; undefined where no contract has it, or it cannot be loaded. */
export async function descriptionOf(
  contracts: Iterable<ContractReference>,
  fingerprint: string,
): Promise<Uint8Array | undefined> {
  for (const { name, fingerprint: own, schema } of contracts) {
    if (own !== fingerprint || schema === undefined) continue;
    try {
      return new TextEncoder().encode(await schema());
    } catch (error) {
      console.error(`ionbus: the description of ${name} cannot be loaded:`, error);
    }
  }
  return undefined;
}
