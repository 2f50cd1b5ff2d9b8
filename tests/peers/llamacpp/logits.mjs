// Log-probabilities of every next token by llama.cpp, on the CPU: node logits.mjs FILE.gguf ID,ID,… OUT writes a JSON array for each position.
import {writeFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, list, out] = process.argv.slice(2);
const ids = list.split(",").map(Number);
const llama = await getLlama({gpu: false, build: "never", maxThreads: 2, progressLogs: false, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: path, useMmap: false});
// The cache in F32, or it would round what this is about.
const context = await model.createContext({
    contextSize: 256, threads: 2, flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
});
const options = {temperature: 1, minP: 0, topK: 0, topP: 1, seed: 1};
const results = await context.getSequence().controlledEvaluate(ids.map(id => [id, {generateNext: {probabilities: true, options}}]));
const rows = results.map(({next}) => {
    const row = new Array(next.probabilities.size).fill(null);
    for (const [token, probability] of next.probabilities)
        row[token] = Math.log(probability);
    return row;
});
writeFileSync(out, JSON.stringify(rows));
process.exit(0);
