import { splitPurposes } from "./format.ts";

/** What something may be used for, in words: the yes first, then the no. */
export function Purposes({ purposes, basis }: { purposes: readonly string[]; basis: string }) {
  const { allowed, refused } = splitPurposes(purposes);
  return (
    <span className="purposes">
      {allowed.length === 0 ? (
        <span className="no">necessary only</span>
      ) : (
        <span className="yes">{allowed.join(", ")}</span>
      )}
      {allowed.length > 0 && refused.length > 0 && <span className="no"> not {refused.join(", ")}</span>}
      {basis !== "" && basis !== "consent" && <span className="basis"> ({basis.replaceAll("_", " ")})</span>}
    </span>
  );
}
