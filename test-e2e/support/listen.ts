import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Listening {
  /** `http://127.0.0.1:…` */
  origin: string;
  /** The same server as another site. */
  otherOrigin: string;
  /** Also ends connections that are kept open. */
  close(): Promise<void>;
}

/** On a port that the system picks. */
export async function listen(server: Server): Promise<Listening> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    otherOrigin: `http://localhost:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * A server whose answers take their time. Who goes away in the middle of a request, as pages may at the end of any test, sent none; of every other
 * fault `close` tells, and no test that has nothing to do with it.
 */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Listening> {
  const faults: unknown[] = [];
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (request.complete) faults.push(error);
      response.destroy();
    });
  });
  const listening = await listen(server);
  return {
    ...listening,
    async close() {
      await listening.close();
      if (faults.length > 0) throw faults[0];
    },
  };
}
