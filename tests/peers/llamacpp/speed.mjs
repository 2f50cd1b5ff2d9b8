// How fast llama.cpp decodes on the CPU: node speed.mjs FILE.gguf THREADS PROMPT TOKENS
// Prints one line of JSON: tokens/s of a prompt of PROMPT tokens and of TOKENS greedy ones behind a short prompt, seconds of the loading, peak memory in bytes.
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, threads, prompt, tokens] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const now = () => performance.now() / 1000;
const begin = now();
const llama = await getLlama({gpu: false, build: "never", maxThreads: threads, progressLogs: false, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: prompt + tokens + 32, batchSize: 512, threads});
const load = now() - begin;
const sequence = context.getSequence();
const ids = count => Array.from({length: count}, (_, k) => k * 7 % 20000 + 10);
const decode = async count => {
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(ids(7));
    let made = 0, first = 0;
    for await (const _ of sequence.evaluate(ids(1), {temperature: 0})) {
        if (made++ === 0)
            first = now();
        if (made > count)
            break;
    }
    return count / (now() - first);
};
const fill = async count => {
    await sequence.clearHistory();
    const start = now();
    await sequence.evaluateWithoutGeneratingNewTokens(ids(count));
    return count / (now() - start);
};
await decode(8);
await fill(prompt);
const memory = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
console.log(JSON.stringify({load, prefill: await fill(prompt), decode: await decode(tokens), memory}));
process.exit(0);
