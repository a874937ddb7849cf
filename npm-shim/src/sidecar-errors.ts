/** What a person reads when there is no working sidecar: what happened, and what to do. */
import { explainEarlyExit, type ResolvedBinary } from "./binary.js";
import { SidecarError } from "./errors.js";

/** What is known of a run of the program when something went wrong with it. */
export type RunFacts = {
  binary: ResolvedBinary;
  /** The last words on its standard error. */
  stderrTail: readonly string[];
};

export function exitError(run: RunFacts, code: number | null, signal: NodeJS.Signals | null): SidecarError {
  const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
  const hint = signal === "SIGKILL" ? " If nobody did that, the system may have run out of memory." : "";
  return new SidecarError("sidecar_exited", `The WeChat sidecar ${how}.${saidBy(run)}${hint}`, { retryable: true });
}

/** As {@link exitError}, before the handshake: the file may never have been a program for this machine. */
export function earlyExitError(run: RunFacts, code: number | null, signal: NodeJS.Signals | null): SidecarError {
  return explainEarlyExit(run.binary) ?? exitError(run, code, signal);
}

export function notSent(method: string): SidecarError {
  return new SidecarError("sidecar_exited", `The WeChat sidecar ended before ${method} was sent.`, { retryable: true });
}

export function notAnswered(method: string, timeoutMs: number): SidecarError {
  return new SidecarError("request_timeout", `The WeChat sidecar did not answer ${method} within ${timeoutMs / 1000} s.`, {
    retryable: true,
  });
}

export function handshakeTimeout(run: RunFacts, timeoutMs: number, cause: unknown): SidecarError {
  return new SidecarError(
    "handshake_timeout",
    `${run.binary.path} did not answer within ${timeoutMs / 1000} s.${saidBy(run)} If the machine is not overloaded, run it ` +
      `by hand: ${run.binary.path} --version`,
    { cause, retryable: true },
  );
}

export function notProtocol(run: RunFacts, line: string): SidecarError {
  const shown = line.length > 120 ? `${line.slice(0, 120)}…` : line;
  return new SidecarError(
    "not_protocol",
    `${run.binary.path} wrote something on its standard output that is not the protocol: ${JSON.stringify(shown)}. It is ` +
      `probably not openclaw-weixin-sidecar, or a wrapper prints into it. ${howToMatch(run)}`,
  );
}

export function protocolMismatch(run: RunFacts, what: string, cause?: unknown): SidecarError {
  return new SidecarError(
    "protocol_mismatch",
    `${run.binary.path} and this plugin do not speak the same protocol: ${what}. ${howToMatch(run)}`,
    { cause },
  );
}

export function tooOld(run: RunFacts, version: string, minimum: string): SidecarError {
  return new SidecarError(
    "sidecar_too_old",
    `${run.binary.path} is version ${version}; this plugin needs ${minimum} or newer. ${howToMatch(run)}`,
  );
}

export function crashLoop(file: string, crashes: number, windowMs: number, last: string): SidecarError {
  return new SidecarError(
    "crash_loop",
    `The WeChat sidecar ended ${crashes} times within ${Math.round(windowMs / 1000)} s and is left alone for a while. Last: ${last} ` +
      `What it lacks is said by: ${file} doctor. The gateway's log has its words above this line. It is tried again by itself, ` +
      `at once with: openclaw gateway restart`,
    { retryable: true },
  );
}

export function stopped(): SidecarError {
  return new SidecarError("stopped", "The WeChat sidecar was stopped with the gateway.", { retryable: true });
}

function saidBy(run: RunFacts): string {
  return run.stderrTail.length > 0 ? ` It said: ${run.stderrTail.join(" | ")}.` : "";
}

function howToMatch(run: RunFacts): string {
  return run.binary.source === "environment"
    ? "OPENCLAW_WEIXIN_SIDECAR_BIN names it: point that variable to a matching build, or unset it."
    : "Update the plugin as a whole: openclaw plugins update openclaw-weixin";
}
