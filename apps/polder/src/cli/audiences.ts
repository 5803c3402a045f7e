import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { readSettings, settingFlags } from "../settings.ts";
import { apiFlags, apiUrl, askApi } from "./ask-api.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";
import { userOfMachine } from "./user-of-machine.ts";
import { writePrivateFile } from "./write-private-file.ts";

const help = `Shows and changes audiences: who fulfils a definition, worked out every few seconds. docs/audiences.md says how definitions are written.

Usage: polder audiences [list]
       polder audiences ready-made [<id…>] [--actor <who>]
       polder audiences add <id> --file <path> [--name <name>] [--purpose <purpose>] [--actor <who>]
       polder audiences change <id> [--file <path>] [--name <name>] [--purpose <purpose>] [--actor <who>]
       polder audiences pause|activate|archive <id> [--actor <who>]
       polder audiences export <id> --to <path> --identifiers <a,b> --recipient <who> --reason <why> [--purpose <purpose>] [--actor <who>]

  ready-made            Shows those that come with Polder; with ids, or all as *, switches them on.
  --file <path>         The definition, as JSON.
  --purpose <purpose>   What it is for, profile when not given: only who may be used for it is in it.
  --to <path>           File to write: .csv or .parquet.
  --identifiers <a,b>   person_id, user_id, anonymous_id, email, email_sha256, phone, phone_sha256.
  --recipient <who>     Who gets the file. Kept with the export, as are --actor and --reason.
  --actor <who>         Who does it. Default: the name of the user of this machine.
  --reason <why>        Why.
  --site <id>           Default: the first site.
  --api <url>           Default: http://127.0.0.1:8082 (POLDER_API_URL, or POLDER_API_PORT).

Environment: POLDER_ADMIN_TOKEN, where the API asks for it.`;

const flags = {
  ...settingFlags,
  ...apiFlags,
  file: { type: "string" },
  name: { type: "string" },
  purpose: { type: "string" },
  to: { type: "string" },
  identifiers: { type: "string" },
  recipient: { type: "string" },
  actor: { type: "string" },
  reason: { type: "string" },
  site: { type: "string" },
} as const;

interface Listed {
  id: string;
  name: string;
  state: string;
  version: number;
  people: number | null;
  fewerThan: number | null;
}

const maxIds = 1_000;
const states = { pause: "paused", activate: "active", archive: "archived" } as const;

export const audiencesCommand: Command = {
  name: "audiences",
  summary: "Show audiences, switch ready-made ones on, export who is in one",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(args, flags, { positionals: maxIds });
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const url = apiUrl(settings, values.api, context.env);
    const { terminal } = context;
    const [action = "list", ...ids] = positionals;
    const search = values.site === undefined ? "" : `?site=${encodeURIComponent(values.site)}`;
    const at = (path: string): string => `/v1/audiences${path}${search}`;
    const actor = values.actor ?? (context.env["USER"] || context.env["USERNAME"] || userOfMachine());
    const { reason, name, purpose } = values;
    const send = (method: "POST" | "PUT", path: string, body: object): Promise<Response> =>
      askApi(url, at(path), settings, { actor, ...(reason !== undefined && { reason }), ...body }, method);
    const one = (): string => {
      const [id, more] = ids;
      if (id === undefined || more !== undefined)
        throw new UsageError(`Say which audience: polder audiences ${action} <id>.`);
      return id;
    };

    if (action === "list") {
      const { audiences } = (await (await askApi(url, at(""), settings)).json()) as { audiences: Listed[] };
      for (const line of renderAudiences(audiences)) terminal.out(line);
      return exitCode.done;
    }
    if (action === "ready-made") {
      if (ids.length === 0) {
        const { audiences } = (await (await askApi(url, at("/ready-made"), settings)).json()) as {
          audiences: { id: string; name: string; isOn: boolean; definition: { description: string } }[];
        };
        for (const { id, isOn, definition } of audiences)
          terminal.out(`${isOn ? "on " : "off"}  ${id.padEnd(longest(audiences))}  ${definition.description}`);
        return exitCode.done;
      }
      const chosen = ids.includes("*") ? {} : { audiences: ids };
      const { added, there } = (await (await send("POST", "/ready-made", chosen)).json()) as {
        added: string[];
        there: string[];
      };
      if (added.length > 0) terminal.out(`Switched on: ${added.join(", ")}.`);
      if (there.length > 0) terminal.out(`There already: ${there.join(", ")}.`);
      return exitCode.done;
    }
    if (action === "add" || action === "change") {
      const id = one();
      const definition = values.file === undefined ? undefined : await readJson(values.file, context);
      if (action === "add" && definition === undefined)
        throw new UsageError("Say what it is: --file with the definition.");
      const given = {
        ...(definition !== undefined && { definition }),
        ...(name !== undefined && { name }),
        ...(purpose !== undefined && { purpose }),
      };
      const answer =
        action === "add"
          ? await send("POST", "", { id, name: id, ...given })
          : await send("PUT", `/${encodeURIComponent(id)}`, given);
      const { version } = (await answer.json()) as { version: number };
      terminal.out(`${id} is there, version ${version} of its definition.`);
      return exitCode.done;
    }
    if (action in states) {
      const id = one();
      await send("PUT", `/${encodeURIComponent(id)}`, { state: states[action as keyof typeof states] });
      terminal.out(`${id} is ${states[action as keyof typeof states]}.`);
      return exitCode.done;
    }
    if (action === "export") {
      const id = one();
      const { to, identifiers, recipient } = values;
      const format = /\.(csv|parquet)$/.exec(to ?? "")?.[1];
      if (to === undefined || format === undefined)
        throw new UsageError("Say where to: --to a file that ends in .csv or .parquet.");
      if (identifiers === undefined || recipient === undefined || reason === undefined)
        throw new UsageError("Say --identifiers, and --recipient and --reason, which are kept with the export.");
      const answer = await send("POST", `/${encodeURIComponent(id)}/exports`, {
        format,
        identifiers: identifiers.split(",").map((each) => each.trim()),
        recipient,
        ...(purpose !== undefined && { purpose }),
      });
      const summary = JSON.parse(answer.headers.get("x-polder-export") ?? "{}") as {
        members: number;
        exported: number;
        leftOut: { [why: string]: number };
      };
      const path = resolve(context.cwd, to);
      await writePrivateFile(path, answer);
      const leftOut = Object.entries(summary.leftOut)
        .filter(([, people]) => people > 0)
        .map(([why, people]) => `${people.toLocaleString("en")} ${whyLeftOut[why] ?? why}`);
      terminal.out(
        `${summary.exported.toLocaleString("en")} of ${summary.members.toLocaleString("en")} people are in ${path}.`,
      );
      if (leftOut.length > 0) terminal.out(`Left out: ${leftOut.join(", ")}.`);
      return exitCode.done;
    }
    throw new UsageError(`There is no “polder audiences ${action}”.`);
  },
};

const whyLeftOut: { readonly [why: string]: string } = {
  erased: "erased meanwhile",
  unknown: "of whom nothing is stored",
  restricted: "restricted",
  objected: "objected",
  denied: "said no",
  expired: "said yes too long ago",
  no_consent: "never said yes",
  no_identifier: "with none of these identifiers",
};

const longest = (audiences: readonly { id: string }[]): number => Math.max(...audiences.map(({ id }) => id.length));

function renderAudiences(audiences: readonly Listed[]): string[] {
  const shown = audiences.filter(({ state }) => state !== "archived");
  if (shown.length === 0)
    return ["There are no audiences yet: `polder audiences ready-made` shows some to begin with."];
  return shown.map(({ id, name, state, version, people, fewerThan }) => {
    const size =
      people !== null ? people.toLocaleString("en") : fewerThan === null ? "not yet" : `fewer than ${fewerThan}`;
    return `${id.padEnd(longest(shown))}  ${size.padStart(12)}  ${state === "active" ? "" : `${state}, `}version ${version}, ${name}`;
  });
}

async function readJson(path: string, { cwd }: CommandContext): Promise<unknown> {
  try {
    return JSON.parse(await readFile(resolve(cwd, path), "utf8"));
  } catch (error) {
    throw new CommandError(`${path} cannot be read as JSON: ${messageOf(error)}`);
  }
}
