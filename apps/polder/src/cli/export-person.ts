import { resolve } from "node:path";
import { readSettings, settingFlags } from "../settings.ts";
import { apiFlags, apiUrl, askApi } from "./ask-api.ts";
import { readFlags, type Command } from "./command.ts";
import { exitCode, UsageError } from "./exit-code.ts";
import { writePrivateFile } from "./write-private-file.ts";

const help = `Writes a file with everything that is stored of a person: identifiers, traits, events, every choice with the text that was shown, audiences, and who got
what, each with its origin, basis and purpose.

Usage: polder export-person <id> --to <path> [options]

  --to <path>          The file. With .csv at its end it is a table, else JSON.
  --format <format>    json or csv, whatever the path says.
  --by <what>          What the id is: user, anonymous or person. Default: user or anonymous.
  --site <id>          Default: the first site.
  --api <url>          Default: http://127.0.0.1:8082 (POLDER_API_URL, or POLDER_API_PORT).

Environment: POLDER_ADMIN_TOKEN, where the API asks for it.`;

const flags = {
  ...settingFlags,
  ...apiFlags,
  to: { type: "string" },
  format: { type: "string" },
  by: { type: "string" },
  site: { type: "string" },
} as const;

export const exportPersonCommand: Command = {
  name: "export-person",
  summary: "Write down everything about a person",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(args, flags, { positionals: 1 });
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const [id] = positionals;
    const { to, by, site } = values;
    if (id === undefined) throw new UsageError("Say of whom: give an id.");
    if (to === undefined) throw new UsageError("Say into which file, with --to.");
    const format = values.format ?? (to.endsWith(".csv") ? "csv" : "json");
    const query = new URLSearchParams({ format, ...(by !== undefined && { by }), ...(site !== undefined && { site }) });
    const path = `/v1/people/${encodeURIComponent(id)}/export?${query.toString()}`;
    const answer = await askApi(apiUrl(settings, values.api, context.env), path, settings);
    await writePrivateFile(resolve(context.cwd, to), answer);
    context.terminal.out(`${to} has everything that is stored of that person. Keep it as carefully as the database.`);
    return exitCode.done;
  },
};
