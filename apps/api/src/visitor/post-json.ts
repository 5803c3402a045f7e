import { request as requestHttp, type IncomingHttpHeaders } from "node:http";
import { request as requestHttps } from "node:https";

/** POSTs JSON with any headers: `fetch` keeps Host to itself. Rejects when nothing answers in time. `text` is the answer's body. */
export function postJson(
  url: string,
  { headers, body, withinMs }: { headers: { readonly [name: string]: string }; body: object; withinMs: number },
): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
  const request = url.startsWith("https:") ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        signal: AbortSignal.timeout(withinMs),
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.once("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
        response.once("error", reject);
      },
    );
    sent.once("error", reject);
    sent.end(JSON.stringify(body));
  });
}
