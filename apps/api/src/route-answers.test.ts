import { Hono } from "hono";
import { validator } from "hono-openapi";
import * as v from "valibot";
import { expect, it } from "vitest";
import { refuseForm } from "./route-answers.ts";

const app = new Hono().post(
  "/things",
  validator(
    "json",
    v.variant("kind", [
      v.strictObject({ kind: v.literal("pair"), people: v.array(v.object({ name: v.string() })), actor: v.string() }),
      v.strictObject({ kind: v.literal("signed"), actor: v.string(), reason: v.string() }, "Send actor and reason"),
    ]),
    refuseForm,
  ),
  (context) => context.text("taken"),
);
const ask = async (body: object): Promise<[number, unknown]> => {
  const answer = await app.request("/things", {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });
  return [answer.status, ((await answer.json()) as { message: string }).message];
};

it("says where something of the wrong kind is, and which key is missing", async () => {
  expect(await ask({ kind: "pair", people: [{ name: 5 }] })).toEqual([
    400,
    "people.0.name: Invalid type: Expected string but received 5; actor is missing",
  ]);
  expect(await ask({ kind: "pair", people: [], actor: "ann", reasons: "" })).toEqual([
    400,
    "reasons is not known here",
  ]);
});

it("says the same thing once", async () => {
  expect(await ask({ kind: "signed" })).toEqual([400, "Send actor and reason"]);
});
