import type { ConsentLedger, EventRow, LogRecord, SiteDirectory, SiteKey } from "@polder/core";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { hasPurpose, type PolderEvent } from "@polder/protocol";
import { buildConsent, buildEvent, buildSite, builtAt } from "@polder/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { buildCollector, keys, serverKey, writeKey } from "./collector.test-support.ts";
import { createReplayJudge, type ReplayVerdict } from "./replay-judge.ts";

const site = buildSite();
const sites: SiteDirectory = {
  findKey: () => undefined,
  findSite: (id) => (id === site.id ? site : undefined),
  sites: () => [site],
};
const receivedAt = Date.parse(builtAt);
const day = 86_400_000;
const full = buildConsent(["measurement", "profile", "ads"]);
let ledger: ConsentLedger;
let now: number;

beforeEach(() => {
  ledger = createMemoryConsentLedger();
  now = receivedAt + 10 * day;
});

const judgeOf = (key?: SiteKey) => createReplayJudge({ sites, ledger, now: () => now, key });
const judge = (event: object | string, key?: SiteKey): ReplayVerdict =>
  judgeOf(key).judgeEvent({
    site: site.id,
    receivedAt,
    messageId: "m1",
    idWithout: "replay:0:7",
    body: typeof event === "string" ? event : JSON.stringify(event),
  });
const rowOf = (verdict: ReplayVerdict): Partial<EventRow> => {
  if (!verdict.ok) throw new Error(`${verdict.why}: ${verdict.reason}`);
  return JSON.parse(Buffer.from(verdict.record.value).toString()) as Partial<EventRow>;
};

/** The visitor of the built events says no, to a collector of today. */
async function withdraw(event: PolderEvent, at: number): Promise<void> {
  const granted = buildConsent(["measurement"]);
  const purposes = { ...granted.purposes, profile: "withdrawn" };
  const { post } = buildCollector({ ledger, now: () => at });
  const time = new Date(at).toISOString();
  const choice = {
    ...event,
    type: "consent",
    messageId: "no",
    timestamp: time,
    context: { consent: { ...granted, purposes, id: "choice-2", at: time } },
  };
  await post("/v1/batch", { writeKey, sentAt: time, batch: [choice] });
}

describe("an event that was refused", () => {
  const event = buildEvent({ messageId: "m1", context: { ...buildEvent().context, consent: full } });

  it("keeps the time at which it came, and is judged by the clock of today", () => {
    const row = rowOf(judge(event));
    expect(row.received_at).toBe(new Date(receivedAt).toISOString().slice(0, 23).replace("T", " "));
    now = receivedAt + 1000 * day;
    expect(judge(event)).toMatchObject({ ok: false, why: "not_allowed", reason: "no_consent" });
  });

  it("has the id that it was sent with, else the same one whenever it is judged", () => {
    expect(judge(event)).toMatchObject({ ok: true, record: { headers: { id: "m1" } } });
    const nameless = { site: site.id, receivedAt, messageId: "", idWithout: "replay:0:7" };
    const body = JSON.stringify({ ...event, messageId: undefined });
    expect(judgeOf().judgeEvent({ ...nameless, body })).toMatchObject({ record: { headers: { id: "replay:0:7" } } });
  });

  it("loses its visitor, or is not stored at all, when the visitor has said no since", async () => {
    expect(rowOf(judge(event)).anonymous_id).toBe(event.anonymousId);
    await withdraw(event, receivedAt + day);
    const row = rowOf(judge(event));
    expect(row).not.toHaveProperty("anonymous_id");
    expect(row).not.toHaveProperty("session_id");
    expect(row).not.toHaveProperty("ip");
    expect(hasPurpose(row.consent_mask!, "profile")).toBe(false);
    expect(judge({ ...event, type: "identify", userId: "ada", traits: { email: "ada@example.com" } })).toMatchObject({
      ok: false,
      why: "not_allowed",
    });
  });

  it("is for no advertisement, since nobody knows whether the browser forbade that", () => {
    expect(hasPurpose(rowOf(judge(event)).consent_mask!, "ads")).toBe(false);
  });

  it("leaves no choice behind that its visitor did not make", () => {
    expect(judge(event)).toMatchObject({ choices: [] });
    const choice = { ...event, type: "consent", event: undefined };
    expect(judge(choice)).toMatchObject({ choices: [{ visitor: expect.stringContaining(event.anonymousId!) }] });
  });

  it("keeps the moment of a choice: an old no does not undo the yes that came after it", async () => {
    const { event: _, ...unnamed } = event;
    const choiceAt = (at: number, state: "granted" | "denied", id: string): PolderEvent => {
      const time = new Date(at).toISOString();
      const purposes = { measurement: state, profile: state };
      const said = { ...full, purposes, id, at: time };
      return { ...unnamed, type: "consent", messageId: id, timestamp: time, context: { consent: said } };
    };
    const { post } = buildCollector({ ledger, now: () => receivedAt + day });
    const yesAt = new Date(receivedAt + day).toISOString();
    await post("/v1/batch", { writeKey, sentAt: yesAt, batch: [choiceAt(receivedAt + day, "granted", "yes")] });
    const visitor = `${site.id}:${event.anonymousId}`;
    const before = ledger.latest(visitor);
    const verdict = judge({ ...choiceAt(receivedAt, "denied", "no"), sentAt: new Date(receivedAt).toISOString() });
    if (!verdict.ok) throw new Error(verdict.reason);
    await ledger.record(verdict.choices);
    expect(ledger.latest(visitor)).toEqual(before);
    expect(hasPurpose(ledger.latest(visitor)!.refused, "profile")).toBe(false);
  });

  it("is no bot because its browser is not known", () => {
    expect(rowOf(judge(event))).not.toHaveProperty("bot");
    const robot = { ...event, context: { ...event.context, userAgent: "Googlebot/2.1" } };
    expect(rowOf(judge(robot)).bot).not.toBe("");
  });

  it("needs the key of a server for what only servers may send", () => {
    const { context: _, ...order } = buildEvent({ messageId: "m1" });
    expect(judge(order)).toMatchObject({ ok: false, why: "not_allowed", reason: "no_consent" });
    expect(judge(order, { ...keys[serverKey]!, site })).toMatchObject({ ok: true });
    const elsewhere = { ...keys[serverKey]!, site: { ...site, id: "blog" } };
    expect(judge(order, elsewhere)).toMatchObject({ ok: false, why: "unknown_site" });
  });

  it.each([
    ["", "not_kept", ""],
    ['{"type":"track","eve', "cut", ""],
    ['{"type":"track","messageId":"m1"}', "refused", "name_missing"],
    ["7", "refused", "not_an_object"],
    ['{"type":"track"},{"type":"track"}', "cut", ""],
  ])("is left out with the reason: %j", (body, why, reason) => {
    expect(judge(body)).toEqual({ ok: false, why, reason });
  });
});

describe("a row that was let through before", () => {
  const rowFor = (fields: Partial<EventRow> = {}): LogRecord => {
    const row = {
      site: site.id,
      type: "track",
      name: "Signed Up",
      message_id: "m1",
      received_at: new Date(receivedAt).toISOString().slice(0, 23).replace("T", " "),
      anonymous_id: "visitor-1",
      session_id: "s1",
      ip: "192.0.2.0",
      consent_mask: 63,
      basis: "consent",
      ...fields,
    };
    return {
      key: `${site.id}:visitor-1`,
      value: Buffer.from(JSON.stringify(row)),
      headers: { id: "m1", site: site.id, anonymousId: "visitor-1", userId: "" },
    };
  };
  const visitor = buildEvent({ anonymousId: "visitor-1" });

  it("stays as it is, byte by byte, when nothing was said since", () => {
    const record = rowFor();
    expect(judgeOf().judgeRow(record)).toEqual({ ok: true, record, choices: [] });
  });

  it("loses what names its visitor when the visitor has said no since, in row, key and headers", async () => {
    await withdraw(visitor, receivedAt + day);
    const verdict = judgeOf().judgeRow(rowFor());
    expect(rowOf(verdict)).toEqual({
      site: site.id,
      type: "track",
      name: "Signed Up",
      message_id: "m1",
      received_at: expect.any(String),
      basis: "consent",
      consent_mask: expect.any(Number),
    });
    expect(verdict).toMatchObject({ record: { key: "m1", headers: { id: "m1", anonymousId: "", userId: "" } } });
    expect(JSON.stringify(verdict)).not.toContain("visitor-1");
    expect(judgeOf().judgeRow(rowFor({ type: "identify" }))).toMatchObject({ ok: false, why: "not_allowed" });
  });

  it("from before a no has lost its visitor for good, whatever was said after that", async () => {
    await withdraw(visitor, receivedAt + day);
    const at = new Date(receivedAt + 2 * day).toISOString();
    const { event: _, ...unnamed } = visitor;
    const yes: PolderEvent = { ...unnamed, type: "consent", messageId: "yes", timestamp: at };
    const { post } = buildCollector({ ledger, now: () => receivedAt + 2 * day });
    const consent = { ...full, id: "choice-3", at };
    await post("/v1/batch", { writeKey, sentAt: at, batch: [{ ...yes, context: { consent } }] });
    expect(hasPurpose(ledger.latest(`${site.id}:visitor-1`)!.granted, "profile")).toBe(true);
    expect(JSON.stringify(judgeOf().judgeRow(rowFor()))).not.toContain("visitor-1");
    const after = rowFor({ consent_mask: 39, received_at: at.slice(0, 23).replace("T", " ") });
    expect(judgeOf().judgeRow(after)).toEqual({ ok: true, record: after, choices: [] });
  });

  it("rests on a contract whatever its visitor says", async () => {
    await withdraw(visitor, receivedAt + day);
    const order = rowFor({ basis: "contract" });
    expect(judgeOf().judgeRow(order)).toEqual({ ok: true, record: order, choices: [] });
  });

  it("is left out when it joins somebody to an id whose visitor has said no since", async () => {
    const alias = rowFor({ type: "alias", anonymous_id: "", user_id: "bo", previous_id: "visitor-1" });
    expect(judgeOf().judgeRow(alias)).toEqual({ ok: true, record: alias, choices: [] });
    await withdraw(visitor, receivedAt + day);
    expect(judgeOf().judgeRow(alias)).toMatchObject({ ok: false, why: "not_allowed", reason: "consent_withdrawn" });
    const ofOther = rowFor({ type: "alias", anonymous_id: "", user_id: "bo", previous_id: "visitor-2" });
    expect(judgeOf().judgeRow(ofOther)).toMatchObject({ ok: true });
  });

  const choice = (state: string, fields: Partial<EventRow> = {}): LogRecord =>
    rowFor({
      type: "consent",
      name: "consent",
      consent_id: "choice-1",
      regime: "opt_in",
      "choice.purpose": ["measurement", "profile"],
      "choice.state": [state, state] as EventRow["choice.state"],
      ...fields,
    });

  it("that is a choice loses its visitor under a later no, and stays a choice", async () => {
    await withdraw(visitor, receivedAt + day);
    const verdict = judgeOf().judgeRow(choice("granted"));
    expect(JSON.stringify(verdict)).not.toContain("visitor-1");
    expect(rowOf(verdict)).toMatchObject({ consent_id: "choice-1", "choice.state": ["granted", "granted"] });
    expect(rowOf(verdict)).not.toHaveProperty("anonymous_id");
    expect(verdict).toMatchObject({ record: { key: "m1", headers: { id: "m1", anonymousId: "" } }, choices: [] });
  });

  it.each([
    ["withdrawn", "opt_in"],
    ["denied", "opt_out"],
    ["opted_out", "notice"],
  ] as const)(
    "that takes a profile back (%s, %s) keeps its visitor until it is on record, and no longer",
    (state, regime) => {
      const record = choice(state, { regime, consent_mask: 1 });
      expect(judgeOf().judgeRow(record)).toEqual({ ok: true, record, choices: [] });
      expect(JSON.stringify(judgeOf().judgeRow(record, true))).not.toContain("visitor-1");
    },
  );

  it("that is a choice nobody took back stays as it is, recorded or not", () => {
    const record = choice("granted");
    expect(judgeOf().judgeRow(record, true)).toEqual({ ok: true, record, choices: [] });
    const nobodys = choice("denied", { anonymous_id: "", consent_mask: 1 });
    expect(judgeOf().judgeRow(nobodys, true)).toEqual({ ok: true, record: nobodys, choices: [] });
  });

  it("of a site that is no more is left out", () => {
    expect(judgeOf().judgeRow(rowFor({ site: "gone" }))).toEqual({ ok: false, why: "unknown_site", reason: "gone" });
  });
});
