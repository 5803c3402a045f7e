import { attempt } from "../device-storage.ts";

const bitsOf = (segment: string): string => {
  // Some write no more characters than they need; the decoder would drop the last bits of a group that is not full.
  const groups = segment.padEnd((segment.length + 3) & ~3, "A");
  const bytes = attempt(() => atob(groups.replace(/-/g, "+").replace(/_/g, "/"))) ?? "";
  return Array.from(bytes, (char) => char.charCodeAt(0).toString(2).padStart(8, "0")).join("");
};

/** Whether the visitor was told of the vendor: the segment of type 1, a bit a vendor or ranges. Not there, as before TCF 2.3: no. */
export const isDisclosed = (tcString: string, vendor: number): boolean =>
  tcString.split(".").some((segment) => {
    const bits = bitsOf(segment);
    let at = 0;
    const take = (length: number): number => parseInt(bits.slice(at, (at += length)), 2);
    // The version of the first segment looks like type 0.
    if (take(3) !== 1) return false;
    // Past the highest vendor.
    at = 19;
    if (!take(1)) return bits[at + vendor - 1] === "1";
    for (let left = take(12); left; left--) {
      const isRange = take(1);
      const from = take(16);
      const to = isRange ? take(16) : from;
      if (from <= vendor && vendor <= to) return true;
    }
    return false;
  });
