// node server.mjs FOLDER KEY CERT MODULES [PORT]: a tus server over TLS on a free port of loopback; prints the port.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import https from "node:https";

const [folder, key, cert, modules, port] = process.argv.slice(2);
const require = createRequire(modules + "/x.js");
const { Server } = await import(require.resolve("@tus/server"));
const { FileStore } = await import(require.resolve("@tus/file-store"));

const tus = new Server({ path: "/files", datastore: new FileStore({ directory: folder }) });
const web = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) =>
  tus.handle(request, response),
);
web.listen(Number(port ?? 0), "127.0.0.1", () => console.log(web.address().port));
