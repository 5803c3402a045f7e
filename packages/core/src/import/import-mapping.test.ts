import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { importFields, importKinds, normalHeader } from "./import-kinds.ts";
import { parseImportMapping, targetOf } from "./import-mapping.ts";
import { importMappingJsonSchema } from "./mapping-schema.ts";
import { proposeMapping } from "./propose-mapping.ts";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const faultsOf = (value: unknown): string[] => {
  const result = parseImportMapping(value);
  return result.ok ? [] : result.faults.map(({ path, message }) => `${path}: ${message}`);
};
const orders = { "Order number": "order_id", Date: "time", Total: "total" };

describe("a mapping", () => {
  it.each([
    ["not an object", 5, ": must be an object, not a number."],
    [
      "an unknown kind",
      { kind: "people", columns: orders },
      "kind: must be one of contacts, orders, returns, tickets, calls.",
    ],
    [
      "an unknown setting",
      { kind: "orders", columns: orders, timeZone: "UTC" },
      "timeZone: is no setting: did you mean `timezone`?",
    ],
    [
      "a field with a slip",
      { kind: "orders", columns: { ...orders, Mail: "emial" } },
      "columns.Mail: is no field of orders: did you mean `email`, or write trait:emial or property:emial.",
    ],
    [
      "two columns for one field",
      { kind: "orders", columns: { ...orders, Sum: "total" } },
      "columns.Sum: goes where columns.Total goes: each field has one column.",
    ],
    [
      "nothing for what is needed",
      { kind: "orders", columns: { Date: "time" } },
      "columns: has nothing for order_id, which orders need: Id of the order: one row an order.",
    ],
    [
      "nobody",
      { kind: "contacts", columns: { City: "city" } },
      "columns: has no column that says who: user_id, anonymous_id, email, phone.",
    ],
    [
      "a property of a contact",
      { kind: "contacts", columns: { Id: "user_id", A: "property:a" } },
      "columns.A: is a property, and nothing happened to a contact: write trait:<name>.",
    ],
    [
      "a partner without a name",
      { kind: "orders", columns: orders, origin: "partner" },
      "partner: is missing: the origin partner needs its name and its basis.",
    ],
    [
      "a partner of nobody's",
      { kind: "orders", columns: orders, partner: { name: "P", basis: "b" } },
      "partner: belongs to the origin partner: set origin, or leave it out.",
    ],
    [
      "a zone that is none",
      { kind: "orders", columns: orders, timezone: "Mars" },
      "timezone: must be an IANA zone, as Europe/Amsterdam or UTC.",
    ],
    [
      "a column left out that is not there",
      { kind: "orders", columns: orders, leaveOut: ["x"] },
      "leaveOut[0]: is no header of `columns`.",
    ],
    [
      "a constant beside a column",
      { kind: "orders", columns: orders, constants: { total: "5" } },
      "constants.total: goes where columns.Total goes: each field has one column.",
    ],
  ])("with %s is refused, with the path and what to do", (_, value, fault) => {
    expect(faultsOf(value)).toContain(fault);
  });

  it("has defaults for all but its columns", () => {
    expect(parseImportMapping({ kind: "orders", columns: orders })).toEqual({
      ok: true,
      mapping: {
        kind: "orders",
        columns: orders,
        constants: {},
        leaveOut: [],
        dates: "auto",
        decimal: "auto",
        origin: "observed",
      },
    });
  });

  it.each(["contacts", "calls"])("of examples/import/%s.mapping.json is taken", (kind) => {
    expect(faultsOf(JSON.parse(readFileSync(`${root}examples/import/${kind}.mapping.json`, "utf8")))).toEqual([]);
  });

  // Written by this test (`npx vitest run -u packages/core/src/import`), from the one description that the parser uses.
  it("is published as a JSON schema", async () => {
    await expect(`${JSON.stringify(importMappingJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
      `${root}docs/import-mapping.schema.json`,
    );
  });
});

describe("what the names of columns say", () => {
  it.each([
    [
      "contacts",
      "Klantnummer;E-mailadres;Voornaam;Telefoonnummer;Nieuwsbrief",
      "user_id email first_name phone newsletter",
    ],
    ["orders", "Name;Order ID;Customer E-mail;Created at;Total amount;Valuta", "- order_id email time total currency"],
    ["orders", "Bestelnr;Klantnr.;Datum;Besteldatum;Totaal incl. btw;BTW", "order_id user_id - time total tax"],
    ["returns", "Retournummer;Bestelnummer;Retourdatum;Bedrag;Reden", "return_id order_id time total reason"],
    [
      "tickets",
      "Ticket #;Customer ID;Opened at;Solved at;Onderwerp;CSAT",
      "ticket_id user_id time closed_at subject satisfaction",
    ],
    [
      "calls",
      "Call ID;Caller number;Start time;Duration (seconds);Recording URL",
      "call_id phone time duration recording",
    ],
  ] as const)("of %s, %s", (kind, headers, fields) => {
    const { columns } = proposeMapping(kind, headers.split(";"));
    expect(
      headers
        .split(";")
        .map((header) => columns[header] ?? "-")
        .join(" "),
    ).toBe(fields);
  });

  it("is a proposal that says what it left and what it lacks", () => {
    expect(proposeMapping("orders", ["Order", "Bedrag", "Gewicht"])).toEqual({
      columns: { Order: "order_id", Bedrag: "total" },
      notTaken: ["Gewicht"],
      missing: ["time"],
    });
  });

  it("is looked for among words that can be found: none has a sign that comparing takes away, and each leads somewhere", () => {
    for (const kind of importKinds)
      for (const [name, { headers }] of Object.entries(importFields[kind])) {
        expect(targetOf(kind, name)).toBeDefined();
        for (const word of headers) expect(normalHeader(word)).toBe(word);
      }
  });
});
