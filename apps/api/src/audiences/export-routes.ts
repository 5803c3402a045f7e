import { randomUUID } from "node:crypto";
import type { AudienceExportStore, ExportOrder } from "@polder/clickhouse";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, resolver, validator } from "hono-openapi";
import * as v from "valibot";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import * as schemas from "./audience-schemas.ts";
import type { Found } from "./audience-routes.ts";
import { limitBody, requireJson } from "./require-json.ts";

export interface ExportRoutesDeps {
  exports: AudienceExportStore;
  guarded: MiddlewareHandler;
  findNamed: (context: Context, site: string | undefined, id: string) => Promise<Found | Response>;
  /** By id, the version of the definition that was worked out last. */
  workedOut: (site: string) => Promise<ReadonlyMap<string, { version: number }>>;
  now: () => number;
}

const contentTypes = { csv: "text/csv; charset=utf-8", parquet: "application/vnd.apache.parquet" } as const;
const maxListed = 100;

/** Files of who is in an audience: only of those who may be used for the purpose at that moment. */
export function addExportRoutes(app: Hono, { exports, guarded, findNamed, workedOut, now }: ExportRoutesDeps): void {
  const summary = {
    "x-polder-export": {
      description: "JSON: which export it is, who was left out and why, and the moment for which it was decided",
      schema: resolver(schemas.exportSummary),
    },
  };

  app.post(
    "/v1/audiences/:id/exports",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "A file of who is in the audience and may be used for the purpose at this moment. Who was left out, and why, is counted in the header x-polder-export. Who asked for it, when and for what is kept, without the people.",
      responses: {
        200: {
          description: "The file: a row a person, more where an identifier has several values",
          headers: summary as never,
          content: {
            "text/csv": { schema: resolver(v.string()) },
            "application/vnd.apache.parquet": { schema: resolver(v.string()) },
          },
        },
        ...failures(400, 401, 404, 409, 503),
      },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.siteQuery, refuseForm),
    validator("json", schemas.exportOrder, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const found = await findNamed(context, context.req.valid("query").site, id);
      if (found instanceof Response) return found;
      const { audience } = found;
      // Its members are those of another definition as yet, or nobody.
      if (audience.state !== "archived" && (await workedOut(found.site)).get(id)?.version !== audience.version)
        return answerError(context, "audience_not_counted");
      const given = context.req.valid("json");
      const order: ExportOrder = {
        id: randomUUID(),
        site: found.site,
        audience: id,
        version: audience.version,
        purpose: given.purpose ?? audience.purpose,
        identifiers: [...new Set(given.identifiers)],
        format: given.format,
        recipient: given.recipient,
        actor: given.actor,
        reason: given.reason,
        at: now(),
      };
      const counts = await exports.begin(order);
      const told: v.InferOutput<typeof schemas.exportSummary> = {
        id: order.id,
        audience: id,
        version: order.version,
        purpose: order.purpose,
        decidedAt: order.at,
        ...counts,
      };
      return context.body(streamOf(exports, order), 200, {
        ...private_,
        "content-type": contentTypes[order.format],
        "content-disposition": `attachment; filename="${id}.${order.format}"`,
        "x-polder-export": JSON.stringify(told),
      });
    },
  );

  app.get(
    "/v1/audiences/:id/exports",
    guarded,
    describeRoute({
      description: "What was exported of it: when, by whom, for whom and what, and how many people.",
      responses: {
        200: answers("The exports, newest first", schemas.exportList),
        ...failures(400, 401, 404, 409, 503),
      },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const found = await findNamed(context, context.req.valid("query").site, id);
      if (found instanceof Response) return found;
      const list = await exports.list(found.site, id, maxListed);
      return context.json({ site: found.site, id, exports: list }, 200, private_);
    },
  );
}

/** However the file ends, sent or broken off, who was in it is forgotten. */
function streamOf(exports: AudienceExportStore, order: ExportOrder): ReadableStream<Uint8Array> {
  const file = exports.file(order)[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await file.next();
        if (done !== true) return controller.enqueue(value);
        await exports.end(order);
        controller.close();
      } catch (error) {
        await exports.end(order).catch(() => undefined);
        controller.error(error);
      }
    },
    async cancel() {
      await file.return?.();
      await exports.end(order);
    },
  });
}
