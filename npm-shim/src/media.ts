/** Media between the host and the sidecar: received files go into the host's media store, files to send come from its loader. */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";

import type { OpenClawConfig } from "openclaw/plugin-sdk/channel-core";

import { channelConfig } from "./accounts.js";
import type { InboundMessage, Part } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { stateDir } from "./state-dir.js";

/** The sidecar's default of `mediaMaxMb`. */
const DEFAULT_MAX_MB = 100;
const WORDS: Record<string, string> = { image: "picture", voice: "voice message", video: "video", file: "file", text: "text", unknown: "item" };

/** One attachment as the host's inbound context takes it. */
export type Attachment = {
  path: string;
  contentType: string | undefined;
  fileName: string | undefined;
  durationMs: number | undefined;
  transcribed: boolean;
};

/** What a message brings beside its text, for the agent. */
export type Attachments = {
  files: Attachment[];
  /** A sentence for each part whose content is not here. */
  notices: string[];
};

export function maxMediaBytes(cfg: unknown): number {
  const configured = channelConfig(cfg as OpenClawConfig & { channels?: Record<string, unknown> }).mediaMaxMb;
  return Math.floor((configured && configured > 0 ? configured : DEFAULT_MAX_MB) * 1024 * 1024);
}

/** Copies a message's files into the host's media store, where agents and their sandboxes may read them. In order. */
export async function adoptAttachments(message: InboundMessage, maxBytes: number): Promise<Attachments> {
  const files: Attachment[] = [];
  const notices: string[] = [];
  for (const part of message.parts) {
    const adopted = await adopt(part, maxBytes);
    if (adopted) files.push(adopted);
    const missing = noticeOf(part, adopted);
    if (missing) notices.push(missing);
  }
  return { files, notices };
}

/** One part's file in the host's media store; nothing where the part has none. */
export async function adopt(part: Part, maxBytes: number): Promise<Attachment | undefined> {
  if (!part.path) return undefined;
  const { saveMediaStream } = await import("openclaw/plugin-sdk/media-store");
  try {
    const name = part.fileName ?? path.basename(part.path).replace(/^\d+-/, "");
    const saved = await saveMediaStream(createReadStream(part.path), part.mime ?? undefined, "inbound", maxBytes, name, part.path);
    return {
      path: saved.path,
      contentType: saved.contentType ?? part.mime ?? undefined,
      fileName: part.fileName ?? undefined,
      durationMs: part.durationMs ?? undefined,
      transcribed: Boolean(part.transcript),
    };
  } catch (error) {
    hostLog("warn", `a received file could not be put into the media store: ${messageOf(error)}`);
    return undefined;
  }
}

function noticeOf(part: Part, adopted: Attachment | undefined): string | undefined {
  if (part.type === "text" || adopted) return undefined;
  if (part.type === "unknown") return "[Something that cannot be read came with this message.]";
  const what = WORDS[part.type] ?? part.type;
  const name = part.fileName ? ` ${JSON.stringify(part.fileName)}` : "";
  return `[A ${what}${name} came with this message and could not be received${part.error ? `: ${part.error}` : ""}.]`;
}

/** How the host lets a send read local files. */
export type MediaAccess = {
  mediaAccess?: { localRoots?: readonly string[]; readFile?: (file: string) => Promise<Buffer>; workspaceDir?: string } | undefined;
  mediaLocalRoots?: readonly string[] | undefined;
  mediaReadFile?: ((file: string) => Promise<Buffer>) | undefined;
};

/** The folder that the sidecar may send from. */
export function stagingDir(): string {
  return path.join(stateDir(), CHANNEL_ID, "media", ".staging");
}

/**
 * Loads a file or a URL by the host's own loader and policy, and runs `send` with a copy that the sidecar may read. The
 * sidecar has a copy of its own when `send` is done.
 */
export async function withStaged<T>(
  mediaUrl: string,
  access: MediaAccess,
  maxBytes: number,
  send: (staged: { path: string; fileName: string }) => Promise<T>,
): Promise<T> {
  const { loadWebMediaRaw } = await import("openclaw/plugin-sdk/web-media");
  const localRoots = access.mediaAccess?.localRoots ?? access.mediaLocalRoots;
  const readFile = access.mediaAccess?.readFile ?? access.mediaReadFile;
  const workspaceDir = access.mediaAccess?.workspaceDir;
  const loaded = await loadWebMediaRaw(mediaUrl, {
    maxBytes,
    ...(localRoots && localRoots.length > 0 ? { localRoots } : {}),
    ...(readFile ? { readFile, hostReadCapability: true } : {}),
    ...(workspaceDir ? { workspaceDir } : {}),
  });
  const fileName = loaded.fileName ?? (path.basename(mediaUrl.split(/[?#]/)[0] ?? "") || "file");
  const staged = path.join(stagingDir(), randomUUID());
  await mkdir(stagingDir(), { recursive: true, mode: 0o700 });
  await writeFile(staged, loaded.buffer, { mode: 0o600, flag: "wx" });
  try {
    return await send({ path: staged, fileName });
  } finally {
    await rm(staged, { force: true });
  }
}
