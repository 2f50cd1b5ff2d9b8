// What llama.cpp makes of a file, on the CPU: node logits.mjs FILE.gguf REQUEST.json ANSWER.json
// The request has "sequences" (arrays of ids) and "texts"; the answer has the log-probabilities of every next token for each position of each
// sequence, the ids of each text, and the tokens at which a text ends.
import {readFileSync, writeFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, request, answer] = process.argv.slice(2);
const {sequences = [], texts = []} = JSON.parse(readFileSync(request, "utf8"));
const llama = await getLlama({gpu: false, build: "never", maxThreads: 2, progressLogs: false, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: path, useMmap: false});
const result = {
    logits: [],
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
        const steps = await sequence.controlledEvaluate(ids.map(id => [id, {generateNext: {probabilities: true, options}}]));
        result.logits.push(steps.map(({next}) => {
            const row = new Array(next.probabilities.size).fill(null);
            for (const [token, probability] of next.probabilities)
                row[token] = Math.log(probability);
            return row;
        }));
    }
}
writeFileSync(answer, JSON.stringify(result));
process.exit(0);
