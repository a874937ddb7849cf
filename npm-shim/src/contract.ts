/** The contract's types, generated from the sidecar's own, under one name. */
import type { Methods } from "./contract.gen.js";

export type * from "./contract.gen.js";

/** The version of the contract that this gateway speaks. */
export const PROTOCOL_VERSION = 1;

/** A request's name. */
export type Method = keyof Methods;
