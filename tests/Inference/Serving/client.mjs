// Asks a server by OpenAI's own client and prints what it gave, as one JSON object. Usage: node client.mjs URL KEY
import OpenAI from "openai";

const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "system", content: "be brief" }, { role: "user", content: "The sea" }];
const chat = { model: "tiny", messages, max_completion_tokens: 16, temperature: 0 };
const failure = promise => promise.then(() => null, error => ({ name: error.constructor.name, status: error.status, code: error.code, param: error.param, message: error.message }));

const result = {};
result.models = (await client.models.list()).data.map(model => model.id);
result.chat = await client.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 2 });

result.deltas = [];
for await (const part of await client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } }))
  result.deltas.push(part);
result.final = await client.chat.completions.stream(chat).finalChatCompletion();

result.completion = await client.completions.create({ model: "tiny", prompt: ["The sea", "The hills"], max_tokens: 8, temperature: 0, logprobs: 1, seed: 1 });
result.texts = [];
for await (const part of await client.completions.create({ model: "tiny", prompt: "The sea", max_tokens: 8, temperature: 0, stream: true }))
  result.texts.push(part.choices[0].text);

result.unknown = await failure(client.chat.completions.create({ ...chat, model: "other" }));
result.wrong = await failure(client.chat.completions.create({ ...chat, temperature: 9 }));
result.key = await failure(new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 }).models.list());

// One that goes in the middle, and one that comes after it.
const left = await client.completions.create({ model: "tiny", prompt: "The sea", max_tokens: 150, stream: true });
for await (const part of left)
  break;
result.after = (await client.completions.create({ model: "tiny", prompt: "The sea", max_tokens: 8, temperature: 0 })).choices[0].text;
console.log(JSON.stringify(result));
