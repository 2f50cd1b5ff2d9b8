"""Compares a quantized model in transformers with qbb itself, and its speed with dense weights.

  qbb logits MODEL --ids 1,2,3 --json >expected.json
  python3 check.py MODEL expected.json [--device cuda] [--tokens 128]
  python3 check.py --shape 7b --bases 4    speed alone, with random planes

The logits must agree within 1e-3 in fp32 of all tokens at once, packed and expanded; one after the other, which is how the packed products are used,
within 1e-3 or 1e-4 of the largest."""
import argparse
import copy
import json
import sys
import time
import traceback

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import qbb_transformers
from qbb_transformers.layers import BasesMatrix

SHAPES = {"7b": (4096, 11008, 32, 32000), "1b": (2048, 8192, 16, 32000)}


def logits(model, ids, one_by_one):
    with torch.no_grad():
        if not one_by_one:
            return model(ids).logits[0].float().cpu()
        rows, past = [], None
        for place in range(ids.shape[1]):
            output = model(ids[:, place:place + 1], past_key_values=past, use_cache=True)
            past = output.past_key_values
            rows.append(output.logits[0, 0].float().cpu())
        return torch.stack(rows)


def speed(model, tokens):
    """Tokens per second at batch 1, greedy, with a static cache, compiled where there is a GPU."""
    ids = torch.ones(1, 4, dtype=torch.long, device=model.device)
    best = 0.0
    for _ in range(4):
        begin = time.perf_counter()
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, cache_implementation="static", pad_token_id=0)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, (made.shape[1] - 4) / (time.perf_counter() - begin))
    return best


def dense(config, device, dtype):
    config = copy.deepcopy(config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def pack(model, bases, group):
    """Random planes in place of the linear layers of the blocks."""
    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and layer is not head:
            rows, columns = layer.weight.shape
            shapes = {"planes": ("I32", [bases, rows, columns // 32]), "alpha": ("F16", [bases, rows, columns // group]), "beta": ("F16", [rows, columns // group])}
            matrix = BasesMatrix(shapes, columns, group, layer)
            for part, (_, shape) in shapes.items():
                matrix._buffers[part] = (torch.randint(-2 ** 31, 2 ** 31 - 1, shape, dtype=torch.int32, device=layer.weight.device) if part == "planes"
                                         else torch.rand(shape, dtype=torch.float16, device=layer.weight.device) * 0.01)
            matrix.finish(layer.weight.dtype)
            model.set_submodule(name, matrix)
    return model


def layers(bases, group=128):
    """Single products: packed against dense fp16, and the kernel against the plain form."""
    from triton.testing import do_bench_cudagraph
    for rows, columns in ((4096, 4096), (11008, 4096), (4096, 11008), (576, 1536)):
        plain = nn.Linear(columns, rows, bias=False, device="cuda", dtype=torch.float16)
        packed = single(plain, bases, group)
        x = torch.randn(1, 1, columns, device="cuda", dtype=torch.float16)
        with torch.no_grad():
            expected = nn.functional.linear(x.float(), packed.numbers(torch.float32))
            error = (packed(x).float() - expected).abs().max() / expected.abs().max()
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                ours, theirs = do_bench_cudagraph(lambda: packed(x)), do_bench_cudagraph(lambda: plain(x))
        print(f"{rows} x {columns}, N = {bases}: {ours * 1000:.1f} us packed, {theirs * 1000:.1f} us fp16, ratio {theirs / ours:.2f}, error {error:.1e}", flush=True)


def single(layer, bases, group):
    holder = nn.Module()
    holder.layer = layer
    holder.get_output_embeddings = lambda: None
    return pack(holder, bases, group).layer


def compare(path, expected, options):
    with open(expected, encoding="utf-8") as file:
        expected = json.load(file)
    ids, wanted = torch.tensor([expected["ids"]], device=options.device), torch.tensor(expected["logits"])
    try:
        model, info = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
        model.to(options.device)
        loaded = {key: sorted(value)[:5] for key, value in info.items() if value}
        differences = [(logits(model, ids, alone) - wanted).abs().max().item() for alone in (False, True)]
        matrices = sum(isinstance(module, qbb_transformers.Matrix) for module in model.modules())
        differences.append((logits(qbb_transformers.expand(copy.deepcopy(model)), ids, False) - wanted).abs().max().item())
        packed = max(1e-3, 1e-4 * wanted.abs().max().item())  # the packed product subtracts numbers eight times its own size
        good = differences[0] <= 1e-3 and differences[1] <= packed and differences[2] <= 1e-3 and matrices > 0 and not loaded
        print(f"{path}: {'equal' if good else 'DIFFERS'}, largest difference {differences[0]:.1e} at once, {differences[1]:.1e} token by token, {differences[2]:.1e} expanded, of {wanted.abs().max():.2g}; "
              f"{matrices} packed matrices{'; not loaded: ' + str(loaded) if loaded else ''}", flush=True)
        if options.tokens:
            half = torch.float16 if options.device == "cuda" else torch.float32
            model = AutoModelForCausalLM.from_pretrained(path, dtype=half).to(options.device)
            packed = speed(model, options.tokens)
            torch._dynamo.reset()
            expanded = speed(qbb_transformers.expand(model), options.tokens)
            torch._dynamo.reset()
            plain = speed(dense(model.config, options.device, half), options.tokens)
            print(f"{path}: {packed:.1f} tokens/s, expanded {expanded:.1f}, dense {plain:.1f}, ratios {packed / plain:.2f} and {expanded / plain:.2f}", flush=True)
        return good
    except Exception:  # the next model is still worth a look
        print(f"{path}: FAILS", flush=True)
        print("".join(traceback.format_exc().splitlines(True)[-5:]), flush=True)
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", metavar="MODEL EXPECTED", help="folders, each with the file of its logits")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=int, default=0, help="tokens to generate for the speed; 0 measures none")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--layers", action="store_true", help="speed of single layers")
    parser.add_argument("--bases", type=int, default=4)
    options = parser.parse_args()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {torch.cuda.get_device_name() if options.device == 'cuda' else 'cpu'}", flush=True)
    if options.layers:
        layers(options.bases)
    if options.shape:
        hidden, inner, blocks, vocabulary = SHAPES[options.shape]
        config = AutoConfig.for_model("llama", hidden_size=hidden, intermediate_size=inner, num_hidden_layers=blocks, num_attention_heads=hidden // 128,
                                      num_key_value_heads=hidden // 128, vocab_size=vocabulary)
        model = dense(config, options.device, torch.float16)
        plain = speed(model, options.tokens or 128)
        print(f"{options.shape}: fp16 {plain:.1f} tokens/s", flush=True)
        torch._dynamo.reset()
        model = pack(model, options.bases, 128)
        packed = speed(model, options.tokens or 128)
        print(f"{options.shape}: {options.bases} bases {packed:.1f} tokens/s, {packed / plain:.2f} of fp16", flush=True)
    results = [compare(model, expected, options) for model, expected in zip(options.pairs[::2], options.pairs[1::2])]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
