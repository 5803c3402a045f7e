import type { Polder, TraceEntry } from "./create-polder.ts";

// A file of its own, for developers: it may be larger than what every visitor loads. The build may shorten the names of properties that our other
// files use among themselves, which is why elements are not taken out by `remove`, and keys are known by their `code`.

const maxRows = 200;
const tag = "polder-overlay";

const css = `
:host { all: initial; position: fixed; right: 12px; bottom: 12px; z-index: 2147483647; color-scheme: light; }
* { box-sizing: border-box; }
section { width: min(420px, calc(100vw - 24px)); max-height: min(70vh, 560px); display: flex; flex-direction: column; overflow: hidden;
  background: #fff; color: #1c1f23; border: 1px solid #6b7280; border-radius: 8px; box-shadow: 0 4px 24px #0005; font: 13px/1.45 system-ui, sans-serif; }
header { display: flex; gap: 6px; align-items: center; padding: 6px 6px 6px 12px; background: #1c2b4a; color: #fff; }
h2 { flex: 1; margin: 0; font-size: 14px; }
h3 { margin: 10px 0 2px; font-size: 13px; }
button { min-width: 28px; min-height: 28px; padding: 2px 10px; font: inherit; color: #fff; background: #34466c; border: 1px solid #9fb0d0; border-radius: 5px; cursor: pointer; }
button:focus-visible, ol:focus-visible, summary:focus-visible { outline: 3px solid #d97706; outline-offset: 1px; }
#body { display: flex; flex-direction: column; min-height: 0; padding: 0 12px 12px; }
#body[hidden] { display: none; }
p, ul { margin: 0; padding: 0; }
ul { display: flex; flex-wrap: wrap; gap: 2px 14px; list-style: none; }
ol { flex: 1; min-height: 80px; margin: 0; padding: 0; overflow: auto; list-style: none; }
li { overflow-wrap: anywhere; }
ol > li { padding: 3px 0; border-top: 1px solid #d1d5db; }
b { font-weight: 600; }
.queued b { color: #1d4ed8; }
.sent b, .waiting b { color: #6d28d9; }
.answered b { color: #166534; }
.refused b, .dropped b { color: #9a3412; }
.error b { color: #b91c1c; }
summary { cursor: pointer; }
pre { margin: 2px 0 4px; padding: 6px; font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; background: #f3f4f6; border-radius: 4px; }
`;

/** Why an event never got as far as the queue, in words. */
const refusals: { readonly [reason: string]: string } = {
  no_choice: "the visitor has not chosen yet",
  no_consent: "the visitor said no to measurement and profile",
  no_profile_consent: "it says who the visitor is, and they said no to profile",
  told_already: "these traits have been told today",
  not_an_id: "no id was given, or something like null",
  middleware: "a function given to polder.use dropped it",
  not_written: "something in it is no JSON, or a function given to polder.use failed",
  event_too_large: "it is larger than 32,000 characters",
};

/**
 * Shows what Polder does on this page: the choice, what waits, and what became of each event. It sends nothing, and no capture sees it. Shown
 * once: a second call does nothing while the first is open.
 */
export function showOverlay(polder: Polder): void {
  if (document.querySelector(tag)) return;
  const focusedBefore = document.activeElement as HTMLElement | null;
  const host = document.createElement(tag);
  host.setAttribute("data-polder-private", "");
  const root = host.attachShadow({ mode: "open" });
  try {
    // A strict policy forbids styles of elements and in them, not these.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    // An older browser: it reads without.
  }

  const fold = make("button", { type: "button", textContent: "Fold", ariaExpanded: "true" });
  const close = make("button", { type: "button", textContent: "Close" });
  const status = make("p");
  const purposes = make("ul");
  const waiting = make("p");
  const rows = make("ol", { tabIndex: 0, ariaLabel: "What happened, newest first" });
  const body = make("div", { id: "body" });
  body.append(
    make("h3", { textContent: "Choice" }),
    status,
    purposes,
    make("h3", { textContent: "Waiting" }),
    waiting,
    make("h3", { textContent: "What happened" }),
    rows,
  );
  const header = make("header");
  header.append(make("h2", { textContent: "Polder" }), fold, close);
  const panel = make("section", { ariaLabel: "Polder on this page" });
  panel.append(header, body);
  root.append(panel);

  const showChoice = (): void => {
    const { status: choice, purposes: granted, at, gpc, regime } = polder.consent.get();
    status.textContent = [
      { unset: regime ? unaskedText(regime) : "None yet", granted: "Granted", denied: "Denied" }[choice],
      at && `on ${new Date(at).toLocaleString()}`,
      gpc && "(this browser asks not to be sold: Global Privacy Control)",
    ]
      .filter(Boolean)
      .join(" ");
    purposes.replaceChildren(
      ...Object.entries(granted).map(([purpose, isGranted]) =>
        make("li", { textContent: `${isGranted ? "✓" : "✗"} ${purpose}${isGranted ? "" : " (no)"}` }),
      ),
    );
  };

  let queued = 0;
  let underWay = 0;
  let nextAttemptAt = 0;
  const showEntry = ({ at, what, detail }: TraceEntry): void => {
    if (what === "queued") queued++;
    if (what === "sent") underWay = Number(detail) || 0;
    // Pages before this one may have left events, so there can be more answers than questions.
    if (what === "answered" && isDone(detail)) queued = Math.max(0, queued - underWay);
    if (what === "dropped" || what === "refused") {
      const { count, reason } = dropOf(detail);
      if (!Object.hasOwn(refusals, reason)) queued = Math.max(0, queued - count);
    }
    if (what === "waiting") nextAttemptAt = at + (Number(detail) || 0);
    const pause = nextAttemptAt > Date.now() ? `, the next attempt at ${clock(nextAttemptAt)}` : "";
    waiting.textContent = queued === 0 ? "Nothing" : `${eventsText(queued)} of this page${pause}`;
    rows.prepend(rowOf(at, what, detail));
    if (rows.childElementCount > maxRows) rows.lastElementChild?.remove();
  };

  const isOver = polder.consent.onChange(showChoice);
  const end = (): void => {
    isOver();
    polder.debug(false);
    host.remove();
    focusedBefore?.focus();
  };
  close.addEventListener("click", end);
  fold.addEventListener("click", () => {
    body.hidden = !body.hidden;
    fold.textContent = body.hidden ? "Unfold" : "Fold";
    fold.ariaExpanded = String(!body.hidden);
  });
  panel.addEventListener("keydown", ({ key }) => key === "Escape" && end());

  showChoice();
  waiting.textContent = "Nothing";
  document.body.append(host);
  polder.debug(showEntry);
}

function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Partial<HTMLElementTagNameMap[Name]> = {},
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    // Firefox before 119 knows these as attributes only.
    const [, aria] = /^aria(.+)$/.exec(property) ?? [];
    if (aria) element.setAttribute(`aria-${aria.toLowerCase()}`, String(value));
    else Object.assign(element, { [property]: value });
  }
  return element;
}

function rowOf(at: number, what: string, detail: unknown): HTMLElement {
  const row = make("li", { className: what });
  const line = [`${clock(at)} `, make("b", { textContent: what }), ` ${describe(what, detail)}`];
  const text = wholeText(detail);
  if (text === undefined) row.append(...line);
  else {
    const summary = make("summary");
    summary.append(...line);
    const details = make("details");
    details.append(summary, make("pre", { textContent: text }));
    row.append(details);
  }
  return row;
}

function describe(what: string, detail: unknown): string {
  const { status, retryAfterMs } = (detail ?? {}) as { status?: number; retryAfterMs?: number };
  switch (what) {
    case "queued": {
      const { type, event, name } = (parse(detail) ?? {}) as { type?: string; event?: string; name?: string };
      return [type ?? "", event ?? name ?? ""].join(" ").trim();
    }
    case "sent":
      return eventsText(Number(detail) || 0);
    case "answered":
      if (!status) return "nothing: the collector was not reached, so it is sent again";
      return `${status}${isDone(detail) ? rejectedText(detail) : ", not stored"}${retryAfterMs ? `, wait ${seconds(retryAfterMs)}` : ""}`;
    case "waiting":
      return `${seconds(Number(detail) || 0)} before the next attempt`;
    case "error":
      return detail instanceof Error ? detail.message : String(detail);
    case "refused":
    case "dropped": {
      const { count, reason } = dropOf(detail);
      return `${count > 1 ? `${count} events: ` : ""}${refusals[reason] ?? reason}`;
    }
    default:
      return String(detail);
  }
}

/** Of `3 too_large`, or of a reason alone. */
const dropOf = (detail: unknown): { count: number; reason: string } => {
  const [, count = "1", reason = ""] = /^(?:(\d+) )?(.*)$/s.exec(String(detail)) ?? [];
  return { count: Number(count), reason };
};

/** Events that arrived and were not stored: a 200 may hold some. */
const rejectedOf = (detail: unknown): { reason: string }[] =>
  (parse((detail as { answer?: unknown } | undefined)?.answer) as { rejected?: { reason: string }[] } | undefined)
    ?.rejected ?? [];

const rejectedText = (detail: unknown): string => {
  const rejected = rejectedOf(detail);
  const reasons = new Set(rejected.map(({ reason }) => reason));
  return rejected.length === 0 ? "" : `, ${eventsText(rejected.length)} rejected: ${[...reasons].join(", ")}`;
};

const isDone = (detail: unknown): boolean => {
  const { status = 0 } = (detail ?? {}) as { status?: number };
  return status >= 200 && status < 300;
};

/** What there is to unfold: the event, where an error comes from, or what was rejected. */
function wholeText(detail: unknown): string | undefined {
  if (detail instanceof Error) return detail.stack;
  const rejected = rejectedOf(detail);
  const whole = rejected.length > 0 ? rejected : parse(detail);
  return typeof whole === "object" && whole !== null ? JSON.stringify(whole, undefined, 2) : undefined;
}

function parse(detail: unknown): unknown {
  if (typeof detail !== "string") return undefined;
  try {
    return JSON.parse(detail);
  } catch {
    return undefined;
  }
}

const unaskedText = (regime: string): string =>
  regime === "asked"
    ? "None yet: the collector is being asked whether there has to be one"
    : `None, and there has to be none (${regime})`;

const eventsText = (count: number): string => (count === 1 ? "1 event" : `${count} events`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const clock = (at: number): string => new Date(at).toLocaleTimeString();
