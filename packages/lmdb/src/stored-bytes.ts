const pageBytes = 4096;
// A value that leaves no room for a second one in its page goes to pages of its own.
const largestInlineBytes = 2000;
const nodeBytes = 40;
const pageHeaderBytes = 16;

/** What a batch of this many bytes takes on the disk. */
export function storedBytesOf(batchBytes: number): number {
  if (batchBytes <= largestInlineBytes) return batchBytes + nodeBytes;
  return Math.ceil((batchBytes + pageHeaderBytes) / pageBytes) * pageBytes + nodeBytes;
}
