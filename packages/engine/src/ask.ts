import { request } from "node:http";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface Answer {
  ok: boolean;
  /** Empty when nobody listens. */
  text: string;
}

/**
 * One query, never cut short: the engine can abort when a connection is reset while it reads a request.
 * Never rejects: nobody listening is an answer too.
 */
export function ask(url: string, credentials: Credentials, query: string): Promise<Answer> {
  return new Promise((done) => {
    const call = request(
      `${url}/`,
      {
        method: "POST",
        agent: false,
        headers: { "x-clickhouse-user": credentials.username, "x-clickhouse-key": credentials.password },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => done({ ok: response.statusCode === 200, text: text.trim() }));
        response.on("error", () => done({ ok: false, text: "" }));
      },
    );
    call.on("error", () => done({ ok: false, text: "" }));
    call.end(query);
  });
}
