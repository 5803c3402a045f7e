import { expect, it } from "vitest";
import { anchorsIn, linksIn } from "./docs-links.mjs";

it("finds links and pictures with their lines, and none in code", () => {
  const markdown = '[a](a.md)\n\n```sql\nSELECT x[1](2)\n```\n![b](<b.png> "B") `[c](c.md)`\n<img alt="" src="d.png">';
  expect(linksIn(markdown)).toEqual([
    { target: "a.md", line: 1 },
    { target: "b.png", line: 6 },
    { target: "d.png", line: 7 },
  ]);
});

it("names headings as the forge does", () => {
  const markdown = "# The `start` command, twice\n## Log\n## Log\n```\n# not a heading\n```\n### [A link](x.md) & more";
  expect([...anchorsIn(markdown)]).toEqual(["the-start-command-twice", "log", "log-1", "a-link--more"]);
});
