/** Errors of the sidecar and of its process, in one shape. */
import type { ErrorData, ErrorKind } from "./contract.gen.js";

/** Why there is no working sidecar. Kinds of the contract come from the sidecar itself; these come before it. */
export type ProcessErrorKind =
  | "binary_missing"
  | "binary_wrong_platform"
  | "binary_not_executable"
  | "platform_unsupported"
  | "spawn_failed"
  | "handshake_timeout"
  | "protocol_mismatch"
  | "sidecar_too_old"
  | "not_protocol"
  | "sidecar_exited"
  | "crash_loop"
  | "request_timeout"
  | "stopped";

export type SidecarErrorKind = ErrorKind | ProcessErrorKind;

/** A request that the sidecar refused, or a sidecar that is not there. Its message is meant for a person. */
export class SidecarError extends Error {
  readonly kind: SidecarErrorKind;
  /** Whether the same request may succeed later without anybody doing anything. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  /** The contract's `error.data`, where the sidecar answered. */
  readonly data: ErrorData | undefined;

  constructor(
    kind: SidecarErrorKind,
    message: string,
    options: { cause?: unknown; retryable?: boolean; data?: ErrorData } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SidecarError";
    this.kind = kind;
    this.data = options.data;
    this.retryable = options.data?.retryable ?? options.retryable ?? false;
    this.retryAfterMs = options.data?.retryAfterMs ?? undefined;
  }
}

/** Whether `error` is a {@link SidecarError}, also one from another copy of this module. */
export function isSidecarError(error: unknown): error is SidecarError {
  return error instanceof Error && error.name === "SidecarError" && "kind" in error;
}

/** What the host says to a copy of the plugin that it is done with. */
const RELOADED = "PluginInstanceUnavailableError";

/**
 * Whether what failed may succeed later by itself: the sidecar's word, or the host's, also where another error carries it as
 * its cause.
 */
export function mayPass(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; cause instanceof Error && depth < 8; depth += 1) {
    if (cause.name === RELOADED) return true;
    if (isSidecarError(cause)) return cause.retryable;
    cause = cause.cause;
  }
  return false;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
