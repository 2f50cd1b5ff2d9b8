// What llama.cpp makes of a file, on the CPU: node logits.mjs FILE.gguf REQUEST.json ANSWER.json
// The request has "sequences" (arrays of ids), "texts", and "every": of how many positions one is looked at, the last always. The answer has the ids
// of each text and the tokens at which a text ends; ANSWER.json.f32 the log-probabilities of all next tokens, row by row, NaN where there is none.
import {readFileSync, writeFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, request, answer] = process.argv.slice(2);
const {sequences = [], texts = [], every = 1} = JSON.parse(readFileSync(request, "utf8"));
const llama = await getLlama({gpu: false, build: "never", maxThreads: 2, progressLogs: false, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: path, useMmap: false});
const rows = [];
const result = {
    tokens: texts.map(text => [...model.tokenize(text)]),
    end: model.tokens.eos,
    turn: model.tokens.eot
};
if (sequences.length > 0) {
    // The cache in F32, or it would round what this is about.
    const context = await model.createContext({
        contextSize: 256, threads: 2, flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
    });
    const sequence = context.getSequence();
    const options = {temperature: 1, minP: 0, topK: 0, topP: 1, seed: 1};
    for (const ids of sequences) {
        await sequence.clearHistory();
        const steps = await sequence.controlledEvaluate(ids.map((id, place) =>
            (ids.length - 1 - place) % every === 0 ? [id, {generateNext: {probabilities: true, options}}] : id));
        for (const {next} of steps.filter(step => step?.next?.probabilities)) {
            const row = new Float32Array(next.probabilities.size).fill(NaN);
            for (const [token, probability] of next.probabilities)
                row[token] = Math.log(probability);
            rows.push(new Uint8Array(row.buffer));
        }
    }
}
writeFileSync(answer + ".f32", Buffer.concat(rows));
writeFileSync(answer, JSON.stringify(result));
process.exit(0);
