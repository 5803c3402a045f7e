import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/** A file of a backup: its path below the backup's folder, with forward slashes, and what is in it. */
export interface CopiedFile {
  path: string;
  bytes: number;
  sha256: string;
}

const chunkBytes = 1024 * 1024;

/** Copies a file and resolves, when it is on the disk, with what it holds. */
export async function copyFile(from: string, to: string): Promise<Omit<CopiedFile, "path">> {
  const hash = createHash("sha256");
  const source = await open(from, "r");
  try {
    const target = await open(to, "wx", 0o600);
    try {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      let bytes = 0;
      for (;;) {
        const { bytesRead } = await source.read(buffer, 0, chunkBytes);
        if (bytesRead === 0) break;
        const chunk = buffer.subarray(0, bytesRead);
        hash.update(chunk);
        let written = 0;
        while (written < bytesRead) written += (await target.write(chunk, written)).bytesWritten;
        bytes += bytesRead;
      }
      await target.sync();
      return { bytes, sha256: hash.digest("hex") };
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}
