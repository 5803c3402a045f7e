import { describe, expect, it } from "vitest";

import { defaultAnalystLimits, renderConfig, renderUsers } from "./config-files.ts";

describe("the server's configuration", () => {
  it("escapes a path", () => {
    const config = renderConfig({ dataDirectory: "/data/a & <b>", usersFile: "/u", maxMemoryBytes: 5 });
    expect(config).toContain("<path>/data/a &amp; &lt;b&gt;</path>");
    expect(config).toContain("<listen_host>127.0.0.1</listen_host>");
  });

  it("keeps the text of queries out of every log", () => {
    expect(renderConfig({ dataDirectory: "/d", usersFile: "/u", maxMemoryBytes: 1 })).toContain("<level>fatal</level>");
  });
});

describe("the server's users", () => {
  const users = renderUsers({
    admin: { username: "polder", password: "admin-password" },
    analyst: { username: "analyst", password: "analyst-password" },
    analystDatabases: [
      { name: "my`database" },
      {
        name: "some",
        tables: { visit: { rows: "site < 'z'" }, order: { columns: ["id", "amount"] } },
        dictionaries: ["people"],
      },
    ],
    analystLimits: { ...defaultAnalystLimits, maxExecutionSeconds: 7 },
  });

  it("holds no password in clear", () => {
    expect(users).not.toContain("admin-password");
    expect(users).not.toContain("analyst-password");
    expect(users.match(/<password_sha256_hex>[0-9a-f]{64}</g)).toHaveLength(2);
  });

  it("bounds the analyst, and does not let the bounds be raised", () => {
    expect(users).toContain("<max_execution_time>7</max_execution_time>");
    expect(users).toContain(
      "<max_execution_time><min>1</min><max>7</max><changeable_in_readonly/></max_execution_time>",
    );
    expect(users).toContain("<max_memory_usage>1073741824</max_memory_usage>");
  });

  it("quotes names in grants", () => {
    expect(users).toContain("GRANT SELECT, SHOW, dictGet ON `my\\`database`.*");
  });

  it("grants tables, columns and rows one by one where they are named", () => {
    expect(users.match(/GRANT [^<]*ON `some`[^<]*/g)).toEqual([
      "GRANT SHOW DATABASES ON `some`.*",
      "GRANT SELECT ON `some`.`visit`",
      "GRANT SELECT(`id`, `amount`) ON `some`.`order`",
      "GRANT dictGet ON `some`.`people`",
    ]);
    expect(users).toContain("<some><visit><filter>site &lt; 'z'</filter></visit></some>");
  });
});
