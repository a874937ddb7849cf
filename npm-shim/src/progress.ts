/** Tool progress of one turn: shown in WeChat while the agent works. The sidecar drops what WeChat has no room for. */
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { sidecar } from "./sidecar.js";

/** How an agent calls a tool of the host's catalogue. The tool itself is told of, too; every message counts. */
const CATALOGUE_CALL = "tool_call";

/** What the host tells of a work item. */
export type ItemEvent = {
  kind?: string;
  phase?: string;
  name?: string;
  title?: string;
  status?: string;
  toolCallId?: string;
  itemId?: string;
  /** The host's word that people should not see this one. */
  hideFromChannelProgress?: boolean;
  suppressChannelProgress?: boolean;
};

export class ToolProgress {
  readonly #to: string;
  readonly #accountId: string;
  readonly #runId: string;
  /** One after the other: the end of a call must not overtake its beginning. */
  #queue: Promise<void> = Promise.resolve();
  #over = false;

  constructor(accountId: string, to: string, runId: string) {
    this.#accountId = accountId;
    this.#to = to;
    this.#runId = runId;
  }

  readonly onItemEvent = (event: ItemEvent): void => {
    const phase = event.phase === "start" ? "start" : event.phase === "end" ? "end" : undefined;
    const toolName = event.name?.trim() || event.title?.trim();
    if (event.kind !== "tool" || !phase || !toolName || this.#over) return;
    if (event.hideFromChannelProgress || event.suppressChannelProgress || toolName === CATALOGUE_CALL) return;
    const toolCallId = event.toolCallId ?? event.itemId;
    this.#queue = this.#queue.then(async () => {
      // What is still waiting when the answer goes out would only come after it.
      if (this.#over) return;
      try {
        await sidecar().process.requestIfRunning("outbound.sendProgress", {
          to: this.#to,
          runId: this.#runId,
          phase,
          toolName,
          accountId: this.#accountId,
          ...(toolCallId ? { toolCallId } : {}),
          ...(phase === "end" ? { status: statusOf(event.status) } : {}),
        });
      } catch (error) {
        hostLog("debug", `tool progress: ${messageOf(error)}`);
      }
    });
  };

  /** The answer is on its way: no progress comes any more. */
  end(): void {
    this.#over = true;
  }
}

function statusOf(status: string | undefined): string {
  return status === "completed" || status === "failed" || status === "blocked" ? status : "unknown";
}
