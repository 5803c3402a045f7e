import { createServer, request as send, type IncomingHttpHeaders } from "node:http";
import { listen, type Listening } from "./listen.ts";

/** A site whose pages a test writes itself. */
export interface PageServer extends Listening {
  serve(path: string, body: string, headers?: { [name: string]: string }): void;
  /** As a reverse proxy does: everything below the folder is answered by the other server. */
  proxy(folder: string, origin: string): void;
}

export async function startPageServer(): Promise<PageServer> {
  const pages = new Map<string, { body: string; headers: { [name: string]: string } }>();
  let proxied: { folder: string; origin: string } | undefined;

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://site");
    const page = pages.get(pathname);
    if (page) response.writeHead(200, page.headers).end(page.body);
    else if (proxied && pathname.startsWith(`${proxied.folder}/`)) {
      const target = proxied.origin + request.url!.slice(proxied.folder.length);
      const headers: IncomingHttpHeaders = { ...request.headers, host: new URL(target).host };
      const onward = send(target, { method: request.method!, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      request.pipe(onward);
    } else response.writeHead(404).end();
  });
  return {
    ...(await listen(server)),
    serve(path, body, headers = {}) {
      const type = path.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
      pages.set(path, { body, headers: { "content-type": type, ...headers } });
    },
    proxy(folder, origin) {
      proxied = { folder, origin };
    },
  };
}
