import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { readFlags, type Command } from "./command.ts";
import { codeOf, CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";
import { typesOfPlan } from "./plan-types.ts";
import { parseTrackingPlan } from "./tracking-plan.ts";

const help = `Makes TypeScript of a tracking plan, so that the compiler knows your events.

Usage: polder types <plan.json> [options]

  --out <file>         Where the types go. Default: standard output.
  --global             Also declares window.polder, for pages with the script tag.
  --check              Writes nothing: ends with 1 when the file of --out is not what the plan makes. For CI.

The plan names each event, with properties in terms of JSON Schema:

  { "events": { "Order Completed": {
      "description": "The shop has taken the order.",
      "properties": { "order_id": { "type": "string" }, "total": { "type": "number" } },
      "required": ["order_id"] } } }

An export of a Segment tracking plan (rules.events) is taken as well. The schema of the plan, for editors, is
docs/tracking-plan.schema.json; how the types are used is in docs/how-to/tracking-plan.md.`;

const flags = {
  out: { type: "string" },
  global: { type: "boolean" },
  check: { type: "boolean" },
} as const;

export const typesCommand: Command = {
  name: "types",
  summary: "Make TypeScript of a tracking plan",
  help,
  async run(args, { terminal, cwd }) {
    const { values, positionals } = readFlags(args, flags, { positionals: 1 });
    const [planName] = positionals;
    if (planName === undefined) throw new UsageError("Say which plan: `npx polder types plan.json --out src/plan.ts`.");
    const { out: outName, check: isCheck = false, global: isGlobal = false } = values;
    if (isCheck && outName === undefined)
      throw new UsageError("--check needs the file to look at: give it with --out.");

    const parsed = parseTrackingPlan(await readPlan(resolve(cwd, planName), planName));
    if (!parsed.ok) {
      const problems = parsed.problems.map(({ path, message }) => `  ${path === "" ? "It" : path} ${message}`);
      throw new CommandError(`${planName} cannot be used, and nothing was made of it:\n${problems.join("\n")}`);
    }
    const command = ["npx polder types", planName, outName && `--out ${outName}`, isGlobal && "--global"];
    const text = typesOfPlan(parsed.plan, { command: command.filter(Boolean).join(" "), isGlobal });
    if (outName === undefined) {
      terminal.write(text);
      return exitCode.done;
    }
    const path = resolve(cwd, outName);
    if (isCheck) {
      const found = await readFile(path, "utf8").catch(() => undefined);
      if (found === text) return exitCode.done;
      const fault = found === undefined ? "cannot be read" : `is not what ${planName} makes`;
      throw new CommandError(`${outName} ${fault}. Run: ${command.filter(Boolean).join(" ")}`);
    }
    await writeFile(path, text).catch((error: unknown) => {
      throw new CommandError(
        `${outName} cannot be written (${codeOf(error) ?? messageOf(error)}). Is the folder there?`,
      );
    });
    const { length } = parsed.plan.events;
    terminal.err(`Made ${outName} of ${length === 1 ? "one event" : `${length} events`}.`);
    return exitCode.done;
  },
};

const readPlan = (path: string, name: string): Promise<string> =>
  readFile(path, "utf8").catch((error: unknown) => {
    throw new CommandError(
      codeOf(error) === "ENOENT"
        ? `There is no ${name}. Give the path of your tracking plan; \`npx polder types --help\` shows what is in one.`
        : `${name} cannot be read (${codeOf(error) ?? messageOf(error)}).`,
    );
  });
