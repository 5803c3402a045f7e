import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ImportKind } from "./import-kinds.ts";
import { openImport } from "./open-import.ts";
import type { PlannedEvent, PlannedRow } from "./plan-row.ts";

const site = { timezone: "Europe/Amsterdam", currency: "EUR" };
const asOf = Date.parse("2026-11-20T12:00:00Z");
const now = Date.parse("2026-11-23T12:00:00Z");

async function planAll(
  kind: ImportKind,
  text: string | Uint8Array,
  mapping?: unknown,
  writtenAt: number | "unknown" = asOf,
): Promise<PlannedRow[]> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  async function* whole() {
    yield bytes;
  }
  const opened = await openImport({
    bytes: whole(),
    kind,
    mapping,
    site,
    asOf: writtenAt === "unknown" ? undefined : writtenAt,
    now: () => now,
  });
  if (!opened.ok) throw new Error(JSON.stringify(opened.faults));
  const rows: PlannedRow[] = [];
  for await (const row of opened.file.rows) rows.push(opened.plan(row));
  return rows;
}
const eventsOf = async (...given: Parameters<typeof planAll>): Promise<PlannedEvent[]> =>
  (await planAll(...given)).flatMap((row) => {
    if (!row.ok) throw new Error(JSON.stringify(row.faults));
    return row.events;
  });
const faultsOf = async (...given: Parameters<typeof planAll>): Promise<string[]> =>
  (await planAll(...given)).flatMap((row) =>
    row.ok ? [] : row.faults.map(({ column, reason }) => `${row.line} ${column} ${reason}`),
  );
const idOf = ({ subject, key, fixed, content }: PlannedEvent): string => [subject, key, fixed, content].join(":");

describe("a row of contacts", () => {
  it("states traits of a person, and the time of the file where it has none", async () => {
    const [one] = await eventsOf("contacts", "Klantnummer;E-mail;Voornaam;Nieuwsbrief\nk-1;A@B.nl;An;ja\n");
    expect(one).toMatchObject({
      subject: "contact",
      isTimed: false,
      time: asOf,
      event: { type: "identify", userId: "k-1", traits: { email: "a@b.nl", firstName: "An", newsletter: true } },
    });
  });

  it("without a time is refused where nobody knows when the file was written", async () => {
    const file = "customer id,city,time\nk-1,Delft,2026-11-01\nk-2,Delft,\n";
    expect(await faultsOf("contacts", file, undefined, "unknown")).toEqual(["3 time missing_cell"]);
    expect(await faultsOf("contacts", "customer id,city\nk-1,Delft\n", undefined, "unknown")).toEqual([
      "2  missing_cell",
    ]);
    expect(await faultsOf("contacts", file)).toEqual([]);
  });

  it("without an id is of whoever has its address, else its number, always the same", async () => {
    const events = await eventsOf("contacts", "email,phone\na@b.nl,\n,+31 6 12345678\nA@B.NL,0031612345678\n");
    const ids = events.map(({ event }) => event.anonymousId);
    expect(ids[0]).toMatch(/^email-[0-9a-f]{32}$/);
    expect(ids[1]).toMatch(/^phone-[0-9a-f]{32}$/);
    expect(ids[2]).toBe(ids[0]);
    expect(JSON.stringify(ids)).not.toContain("b.nl");
  });

  it("with two ids says that they are one person, also when it says nothing else", async () => {
    const [one] = await eventsOf("contacts", "user id,anonymous id\nk-1,device-1\n");
    expect(one!.event).toEqual({ type: "identify", userId: "k-1", anonymousId: "device-1", traits: {} });
  });

  it("of nobody, or of somebody and nothing, is refused", async () => {
    expect(await faultsOf("contacts", "customer id,city\n,Delft\n0,Delft\nk-1,\n")).toEqual([
      "2  no_person",
      "3  no_person",
      "4  missing_cell",
    ]);
  });

  it("leaves out what cannot be read where the mapping says so", async () => {
    const mapping = { kind: "contacts", columns: { id: "user_id", tel: "phone", city: "city" }, leaveOut: ["tel"] };
    const [one] = await eventsOf("contacts", "id,tel,city\nk-1,unknown,Delft\n", mapping);
    expect(one!.event.traits).toEqual({ city: "Delft" });
  });

  it("cannot reach what every object has", async () => {
    const mapping = { kind: "contacts", columns: { id: "user_id", odd: "trait:__proto__" } };
    const [one] = await eventsOf("contacts", "id,odd\nk-1,x\n", mapping);
    expect(Object.keys(one!.event.traits!)).toEqual(["__proto__"]);
    expect(({} as { x?: string }).x).toBeUndefined();
  });
});

describe("a row of what happened", () => {
  it("is an order with its money, and its customer's address as a trait of that moment", async () => {
    const events = await eventsOf(
      "orders",
      "Bestelnummer;Klantnr;E-mailadres;Besteldatum;Totaal;Korting\nW-1;k-1;a@b.nl;1-10-2026 10:15;€ 1.059,95;2,50\n",
    );
    expect(events.map(({ event, time }) => ({ ...event, time: new Date(time).toISOString() }))).toEqual([
      { type: "identify", userId: "k-1", traits: { email: "a@b.nl" }, time: "2026-10-01T08:15:00.000Z" },
      {
        type: "track",
        event: "Order Completed",
        userId: "k-1",
        properties: { order_id: "W-1", total: 1059.95, currency: "EUR", discount: 2.5 },
        time: "2026-10-01T08:15:00.000Z",
      },
    ]);
  });

  it("is of the currency that it names: its column, its cell, the mapping, the site", async () => {
    const mapping = {
      kind: "orders",
      columns: { o: "order_id", t: "time", b: "total", v: "currency" },
      currency: "CHF",
    };
    const text = "o,t,b,v\n1,2026-10-01,5,usd\n2,2026-10-01,£5,\n3,2026-10-01,5,\n";
    const currencies = (await eventsOf("orders", text, mapping)).map(({ event }) => event.properties!["currency"]);
    expect(currencies).toEqual(["USD", "GBP", "CHF"]);
    const [own] = await eventsOf("orders", "order id,date,total\n1,2026-10-01,5\n");
    expect(own!.event.properties!["currency"]).toBe("EUR");
    expect(await faultsOf("orders", "o,t,b,v\n1,2026-10-01,€5,USD\n", mapping)).toEqual(["2 b not_a_currency"]);
  });

  it("is a refund, whatever sign its amount has", async () => {
    const events = await eventsOf(
      "returns",
      "return id,order id,date,amount\nR-1,W-1,2026-10-02,-12.50\nR-2,W-1,2026-10-02,12.50\n",
    );
    expect(events.map(({ event, amount }) => [event.event, event.properties!["total"], amount])).toEqual([
      ["Order Refunded", 12.5, "12.5"],
      ["Order Refunded", 12.5, "12.5"],
    ]);
  });

  it("is a ticket that opens, and one that closes when it has", async () => {
    const events = await eventsOf(
      "tickets",
      "ticket id,user id,opened at,closed at,subject,csat\nT-1,k-1,2026-10-01 10:00,2026-10-01 11:00,Late,4\nT-2,k-1,2026-10-01 10:00,,Later,\n",
    );
    expect(events.map(({ event, subject }) => [subject, event.event, event.properties])).toEqual([
      ["ticket", "Ticket Opened", { ticket_id: "T-1", subject: "Late" }],
      ["ticket-closed", "Ticket Closed", { ticket_id: "T-1", seconds_open: 3600, satisfaction: 4 }],
      ["ticket", "Ticket Opened", { ticket_id: "T-2", subject: "Later" }],
    ]);
  });

  it("is a call at its end, with a reference to its recording", async () => {
    const [call] = await eventsOf(
      "calls",
      "call id,user id,start,duration,recording\nc-1,k-1,2026-10-01T10:00:00Z,1:30,archive://c-1.ogg\n",
    );
    expect(call).toMatchObject({
      time: Date.parse("2026-10-01T10:01:30Z"),
      event: {
        event: "Call Completed",
        properties: {
          call_id: "c-1",
          duration_seconds: 90,
          recording: "archive://c-1.ogg",
          started_at: "2026-10-01T10:00:00.000Z",
        },
      },
    });
  });

  it("is refused with every column that is wrong", async () => {
    expect(
      await faultsOf(
        "orders",
        "order id,email,date,total\n1,a@b.nl,2026-10-01\n2,a@b.nl,2026-10-01,5,x\n,nobody,soon,much\n3,a@b.nl,2027-10-01,5\n4,a@b.nl,1969-12-31,5\n5,a@b.nl,2026-10-01,-5\n6,a@b.nl,2026-10-01,5,\n",
      ),
    ).toEqual([
      "2  too_few_cells",
      "3  too_many_cells",
      "4 order id missing_cell",
      "4 email not_an_email",
      "4 date not_a_time",
      "4 total not_a_number",
      "5 date time_out_of_range",
      "6 date time_out_of_range",
      "7 total negative_amount",
    ]);
  });
});

describe("the id of what a row states", () => {
  const header = "order id,date,total,store\n";
  const [row] = ["1,2026-10-01,5.00,Delft\n"];
  it("is the same in every file, in every order of columns, however its cells are written", async () => {
    const [one] = await eventsOf("orders", header + row);
    const [other] = await eventsOf("orders", "Winkel;Totaal;Ordernummer;Datum\nDelft;€ 5,00;1;1-10-2026 0:00\n");
    expect(idOf(other!)).toBe(idOf(one!));
  });
  it.each([
    ["2,2026-10-01,5.00,Delft\n", "key"],
    ["1,2026-10-02,5.00,Delft\n", "fixed"],
    ["1,2026-10-01,5.00 USD,Delft\n", "fixed"],
    ["1,2026-10-01,6.00,Delft\n", "content"],
    ["1,2026-10-01,5.00,Gouda\n", "content"],
  ] as const)("is another when it says something else: %s", async (changed, part) => {
    const [one] = await eventsOf("orders", header + row);
    const [other] = await eventsOf("orders", header + changed);
    for (const each of ["key", "fixed", "content"] as const)
      if (each === part) expect(other![each]).not.toBe(one![each]);
    if (part !== "key") expect(other!.key).toBe(one!.key);
    if (part === "content") expect(other!.fixed).toBe(one!.fixed);
  });
});

it("gives back every order, whatever conventions its file was written by", async () => {
  const orders = fc.array(
    fc.record({
      id: fc.stringMatching(/^[A-Z]{1,3}-[1-9]\d{0,5}$/),
      ms: fc.integer({ min: Date.UTC(2015, 0, 1) / 60_000, max: asOf / 60_000 }).map((minutes) => minutes * 60_000),
      cents: fc.integer({ min: 0, max: 99_999_999 }),
      note: fc
        .string({ minLength: 1, maxLength: 12 })
        .filter((text) => text.trim() !== "" && /^[ -~]*$/.test(text) && !/^'|^="/.test(text.trim())),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const style = fc.record({
    separator: fc.constantFrom(",", ";", "\t"),
    decimal: fc.constantFrom(",", "."),
    hasThousands: fc.boolean(),
    date: fc.constantFrom("iso", "dutch", "american", "epoch", "local"),
    encoding: fc.constantFrom("utf8", "latin1", "utf16le"),
    lineEnd: fc.constantFrom("\n", "\r\n"),
  });
  const local = new Intl.DateTimeFormat("sv", { timeZone: site.timezone, dateStyle: "short", timeStyle: "short" });
  const written = (ms: number, how: string): string => {
    const utc = new Date(ms).toISOString();
    const [year, month, day] = [utc.slice(0, 4), utc.slice(5, 7), utc.slice(8, 10)];
    if (how === "dutch") return `${Number(day)}-${Number(month)}-${year} ${utc.slice(11, 16)}Z`;
    if (how === "american") {
      const hour = Number(utc.slice(11, 13));
      return `${month}/${day}/${year} ${hour % 12 || 12}:${utc.slice(14, 16)} ${hour < 12 ? "AM" : "PM"} UTC`;
    }
    if (how === "epoch") return String(ms / 1000);
    return how === "local" ? local.format(ms) : utc;
  };
  const amount = (cents: number, decimal: string, hasThousands: boolean): string => {
    const whole = String(Math.floor(cents / 100));
    const grouped = hasThousands ? whole.replace(/\B(?=(?:\d{3})+$)/g, decimal === "," ? "." : ",") : whole;
    return `${grouped}${decimal}${String(cents % 100).padStart(2, "0")}`;
  };
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

  await checkAsyncProperty(
    fc.asyncProperty(orders, style, async (all, { separator, decimal, hasThousands, date, encoding, lineEnd }) => {
      const mapping = {
        kind: "orders",
        columns: { nr: "order_id", tijd: "time", bedrag: "total", opm: "property:note" },
        dates: date === "american" ? "month_first" : "auto",
      };
      const lines = all.map(({ id, ms, cents, note }) =>
        [id, written(ms, date), amount(cents, decimal, hasThousands), `é ${note}`].map(quoted).join(separator),
      );
      const text = [["nr", "tijd", "bedrag", "opm"].join(separator), ...lines].join(lineEnd);
      const events = await eventsOf("orders", Buffer.from(text, encoding as BufferEncoding), mapping);
      for (const [index, { ms, cents, id, note }] of all.entries()) {
        const { event, time } = events[index]!;
        expect(event.properties).toEqual({
          order_id: id,
          total: cents / 100,
          currency: "EUR",
          note: `é ${note}`.trim(),
        });
        // An hour that clocks show twice is the first of the two.
        if (date === "local") expect(local.format(time)).toBe(local.format(ms));
        else expect(time).toBe(ms);
      }
    }),
    150,
  );
});
