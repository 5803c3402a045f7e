import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CommandError, messageOf } from "./exit-code.ts";

/**
 * An answer into a file that nobody else on this machine may read, also where there was one that they may. All of it or nothing: a part of a list would
 * be taken for the whole.
 */
export async function writePrivateFile(target: string, answer: Response): Promise<void> {
  if (answer.body === null) throw new CommandError("The API gave an empty answer. Nothing was written.");
  const draft = `${target}.${process.pid}.partial`;
  try {
    await pipeline(Readable.fromWeb(answer.body as never), createWriteStream(draft, { mode: 0o600, flags: "wx" }));
    await rename(draft, target);
  } catch (error) {
    throw new CommandError(`The file ${target} was not written: ${messageOf(error)}`);
  } finally {
    await rm(draft, { force: true });
  }
}
