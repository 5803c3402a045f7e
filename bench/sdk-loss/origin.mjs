import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { join } from "node:path";

/** A key and a certificate that nobody trusts, made here and now. */
export function createCertificate(folder) {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat(
      ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ["-keyout", key, "-out", cert],
    ),
    { stdio: "ignore" },
  );
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

/**
 * A server on a port of its own, which can go away and come back.
 * @param certificate with one it speaks HTTP/2, without one HTTP/1.1.
 * @param host `127.0.0.1` or `localhost`, which are different sites.
 */
export async function startOrigin({ certificate, host, handle }) {
  const server = certificate
    ? createSecureServer({ ...certificate, allowHTTP1: false }, handle)
    : createServer({ keepAliveTimeout: 60_000 }, handle);
  const sockets = new Set();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  // Of connections that a tab has cut.
  server.on("sessionError", () => {});
  server.on("clientError", (_, socket) => socket.destroy());

  const listen = async (port) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return server.address().port;
  };
  const refuse = async () => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const port = await listen(0);
  return {
    url: `${certificate ? "https" : "http"}://${host}:${port}`,
    /** Connections are refused from now on, and those that are open are cut. */
    refuse,
    accept: () => listen(port),
    stop: () => (server.listening ? refuse() : undefined),
  };
}
