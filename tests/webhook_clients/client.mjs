// `sign ID TIMESTAMP SECRET` prints a signature; `verify ID TIMESTAMP SIGNATURES SECRET` ends with 0 if it is right.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Webhook } = createRequire(process.env.CLIENTS + "/")("standardwebhooks");
const [what, id, timestamp, ...rest] = process.argv.slice(2);
const body = readFileSync(0);
if (what === "sign") {
    process.stdout.write(new Webhook(rest[0]).sign(id, new Date(Number(timestamp) * 1000), body.toString()));
} else {
    new Webhook(rest[1]).verify(body, {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": rest[0],
    });
}
