import * as v from "valibot";
import { personBy, signed, siteQuery, text } from "../schemas.ts";

const asked = v.picklist(["measurement", "profile", "personalisation", "prediction", "ads"]);

export const personParameter = v.object({ id: v.pipe(v.string(), v.minLength(1), v.maxLength(500)) });
export const personQuery = v.object({ ...siteQuery.entries, by: personBy });
export const restrictionBody = v.strictObject(signed, "Send an object with actor and reason");
export const objectionBody = v.strictObject(
  { purposes: v.pipe(v.array(asked), v.minLength(1, "Name a purpose"), v.maxLength(5)), ...signed },
  "Send an object with purposes, actor and reason",
);

export const flaggedAnswer = v.object({
  site: text,
  person: v.number(),
  id: v.pipe(text, v.description("Of the decision")),
});
export const flagsAnswer = v.object({
  site: text,
  person: v.number(),
  flags: v.array(
    v.object({
      id: text,
      at: v.pipe(v.number(), v.description("Milliseconds since 1970")),
      flag: v.picklist(["restrict", "object"]),
      purpose: v.pipe(
        v.picklist(["", ...asked.options, "necessary"]),
        v.description("object: objected to; restrict: empty"),
      ),
      isSet: v.pipe(v.boolean(), v.description("False: from then on no longer")),
      actor: text,
      reason: text,
      isInForce: v.pipe(v.boolean(), v.description("Whether nothing later was decided for one of the person's ids")),
    }),
  ),
});
