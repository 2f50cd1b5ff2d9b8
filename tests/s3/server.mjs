// An S3 server in memory for the tests. Usage: node server.mjs BUCKET ...
// Listens at 127.0.0.1 on a free port, says "PORT" on stdout, and ends when stdin does, so that it never outlives the test.
//
// fauxqs is taken as it is but for three things that it does not do and S3 does (as its API reference has them):
// PutObject and CompleteMultipartUpload honour If-None-Match: *, a SHA-256 that a sender names is checked, and
// ListMultipartUploads lists.
import { createHash } from "node:crypto";
import { register } from "node:module";

// Only fauxqs's storage on disk needs node:sqlite, which Debian's node does not have.
const hook = `export async function resolve(name, context, next) {
  return name === "node:sqlite" ? { url: "data:text/javascript,export class DatabaseSync {}", shortCircuit: true } : next(name, context);
}`;
register("data:text/javascript," + encodeURIComponent(hook));
const { buildApp } = await import("fauxqs");
const { S3Store } = await import("./node_modules/fauxqs/dist/s3/s3Store.js");
const { decodeAwsChunked } = await import("./node_modules/fauxqs/dist/s3/chunkedEncoding.js");

const store = new S3Store();
for (const bucket of process.argv.slice(2)) store.createBucket(bucket);

// fauxqs sorts all keys for every page: with many objects that would be all of a test's time. Keys are sorted once, and again when one was added.
const sorted = new Map();
for (const [bucket, objects] of store.buckets) {
  objects.set = function (key, value) {
    if (!this.has(key)) sorted.delete(bucket);
    return Map.prototype.set.call(this, key, value);
  };
}
const listAll = store.listObjects;
store.listObjects = function (bucket, { prefix = "", delimiter, maxKeys = 1000, startAfter, marker } = {}) {
  const objects = this.buckets.get(bucket);
  if (!objects || delimiter) return listAll.apply(this, arguments);
  if (!sorted.has(bucket)) sorted.set(bucket, [...objects.keys()].sort());
  const keys = sorted.get(bucket);
  const after = startAfter ?? marker ?? "";
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < prefix || (after && keys[middle] <= after)) low = middle + 1;
    else high = middle;
  }
  const found = [];
  for (; low < keys.length && keys[low].startsWith(prefix) && found.length <= maxKeys; low++) {
    if (objects.has(keys[low])) found.push(objects.get(keys[low]));
  }
  return { objects: found.slice(0, maxKeys), commonPrefixes: [], isTruncated: found.length > maxKeys };
};

const app = buildApp({ logger: false, stores: { s3Store: store } });

const refuse = (reply, status, code, message) => reply.code(status).header("content-type", "application/xml")
  .send(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`);

app.addHook("preHandler", async (request, reply) => {
  const { bucket, "*": key } = request.params ?? {};
  if (!bucket) return;
  if (!key && request.method === "GET" && "uploads" in request.query) {
    const uploads = [...store.multipartUploads.values()]
      .filter((upload) => upload.bucket === bucket && upload.key.startsWith(request.query.prefix ?? ""))
      .map(({ key, uploadId, initiated }) =>
        `<Upload><Key>${key}</Key><UploadId>${uploadId}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`);
    return reply.header("content-type", "application/xml").send(
      `<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult><Bucket>${bucket}</Bucket><IsTruncated>false</IsTruncated>${uploads.join("")}</ListMultipartUploadsResult>`);
  }
  const isWrite = request.method === "PUT" || request.method === "POST";
  if (isWrite && key && request.headers["if-none-match"] === "*" && store.buckets.get(bucket)?.has(key)) {
    return refuse(reply, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
  }
  const named = request.headers["x-amz-checksum-sha256"];
  if (request.method === "PUT" && named) {
    const chunked = request.headers["content-encoding"]?.includes("aws-chunked");
    const body = chunked ? decodeAwsChunked(request.body).body : request.body;
    if (createHash("sha256").update(body).digest("base64") !== named) {
      return refuse(reply, 400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.");
    }
  }
});

// For tests: how many requests there were, and objects of other days, which nobody could put in a test's time.
let requests = 0;
app.addHook("onRequest", async (request, reply) => {
  if (request.url === "/requests") return reply.send(`${requests}`);
  if (request.url.startsWith("/fill/")) {
    const [bucket, count] = request.url.slice("/fill/".length).split("/");
    for (let k = 0; k < Number(count); k++) {
      const body = Buffer.from(`blob ${k}`);
      const name = createHash("sha256").update(body).digest("hex");
      for (const key of [`blobs/${name}`, `used/${name}`]) {
        store.putObject(bucket, key, key.startsWith("blobs") ? body : Buffer.alloc(0)).lastModified = new Date(Date.now() - 24 * 3600e3);
      }
    }
    return reply.send("filled");
  }
  requests++;
});

await app.listen({ host: "127.0.0.1", port: 0 });
console.log(app.server.address().port);
process.stdin.on("end", () => process.exit(0)).resume();
