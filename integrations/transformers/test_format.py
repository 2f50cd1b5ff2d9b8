"""The format (docs/format.md) read with plain Python, in the slowest way there is.

  python3 test_format.py MODEL EXPORT    MODEL's matrices equal those of  qbb export MODEL --format fp32 -o EXPORT
  python3 test_format.py MODEL           qbb_transformers.layers equals the plain reading (needs torch)
"""
import json
import os
import struct
import sys

KINDS = {"I32": "i", "I8": "b", "U8": "B", "F16": "e", "F32": "f"}


def tensors(folder):
    """name: (shape, flat numbers) of model.safetensors."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    found = {}
    for name, tensor in header.items():
        first, last = tensor["data_offsets"]
        kind = KINDS[tensor["dtype"]]
        found[name] = tensor["shape"], struct.unpack(f"<{(last - first) // struct.calcsize(kind)}{kind}", data[first:last])
    return found


def bases(stored, module, columns, group):
    """Rows of a sum of bases."""
    (count, rows, words), planes = stored[module + ".planes"]
    groups = -(-columns // group)
    power = 2.0 ** stored.get(module + ".scale_exponent", (0, [0]))[1][0]
    scale = lambda name: [number * power for number in stored[module + name][1]]
    if module + ".step" in stored:
        steps = scale(".step")
        if module + ".lowest" in stored:
            lowest = [stored[module + ".lowest"][1][0] * step for step in steps]
        elif module + ".zero" in stored:
            lowest = [-zero * step for zero, step in zip(stored[module + ".zero"][1], steps)]
        else:
            lowest = scale(".minimum")
        alpha = [step * 2.0 ** (count - 2 - basis) for basis in range(count) for step in steps]
        beta = [low + (2 ** count - 1) / 2 * step for low, step in zip(lowest, steps)]
    else:
        alpha, beta = scale(".alpha"), scale(".beta") if module + ".beta" in stored else [0.0] * (rows * groups)
    sign = lambda basis, row, column: 1 if planes[(basis * rows + row) * words + column // 32] >> column % 32 & 1 else -1
    return [[beta[row * groups + column // group] + sum(sign(basis, row, column) * alpha[(basis * rows + row) * groups + column // group] for basis in range(count))
             for column in range(columns)] for row in range(rows)]


def integers(stored, module, columns, group, bits):
    """Rows of integers times scales."""
    (rows, width), packed = stored[f"{module}.q{bits}"]
    groups, power = -(-columns // group), 2.0 ** stored.get(module + ".scale_exponent", (0, [0]))[1][0]
    scales = stored[f"{module}.q{bits}_scale"][1]

    def number(row, column):
        if bits == 8:
            return packed[row * width + column]
        whole = int.from_bytes(bytes(packed[row * width:(row + 1) * width]), "little")
        return (whole >> column * bits) % 2 ** bits - 2 ** (bits - 1)

    return [[number(row, column) * scales[row * groups + column // group] * power for column in range(columns)] for row in range(rows)]


def matrices(folder, columns_of):
    """module: (rows as lists, group, the names of its tensors); columns_of(module) are the columns, which the file does not hold."""
    stored = tensors(folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)["quantization_config"]
    form, found = config.get("embedding") or {}, {}
    for name in stored:
        module, _, suffix = name.rpartition(".")
        if suffix in ("planes", "q8", "q6", "q4"):
            columns = columns_of(module)
            outside = suffix != "planes" or module in form.get("modules", [])
            group = min((form if outside else config).get("group_size") or columns, columns)
            rows = bases(stored, module, columns, group) if suffix == "planes" else integers(stored, module, columns, group, int(suffix[1]))
            found[module] = rows, group, {key.rpartition(".")[2]: stored[key] for key in stored if key.rpartition(".")[0] == module}
    return found


def main(model, export):
    plain = tensors(export) if export else None
    words = {name.removesuffix(".planes"): shape[2] * 32 for name, (shape, _) in tensors(model).items() if name.endswith(".planes")}
    with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    form, gpt2 = config["quantization_config"].get("embedding") or {}, config["model_type"] == "gpt2"
    if plain:
        transposed = lambda module: gpt2 and module.startswith("transformer.h.")
        columns_of = lambda module: plain[module + ".weight"][0][0 if transposed(module) else 1]
    else:  # the width of the words: columns past the row's end are not compared, since there are none in these models
        columns_of = lambda module: words[module] if module in words else form["columns"]
    worst = 0.0
    for module, (rows, group, stored) in matrices(model, columns_of).items():
        if plain:
            shape, numbers = plain[module + ".weight"]
            turned = transposed(module)
            other = [[numbers[column * shape[1] + row] if turned else numbers[row * shape[1] + column] for column in range(len(rows[0]))] for row in range(len(rows))]
        else:
            other = layer(stored, len(rows[0]), group)
        worst = max(worst, max(abs(a - b) / (abs(a) + 1e-3) for ours, theirs in zip(rows, other) for a, b in zip(ours, theirs)))
        assert len(rows) == len(other) and worst < 1e-6, f"{module}: {worst}"
    print(f"{model}: equal, largest relative difference {worst:.1e}")


def layer(stored, columns, group):
    """The same by the package."""
    import torch
    from qbb_transformers.layers import BasesMatrix, IntegerMatrix
    types = {"planes": "I32", "lowest": "I32", "scale_exponent": "I32", "q8": "I8", "q6": "U8", "q4": "U8"}
    parts = {name: (types.get(name, "F16"), shape) for name, (shape, _) in stored.items() if name != "bias"}
    matrix = (BasesMatrix if "planes" in parts else IntegerMatrix)(parts, columns, group, None)
    for name, (kind, shape) in parts.items():
        dtype = {"I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "F16": torch.float16}[kind]
        matrix._buffers[name] = torch.tensor(stored[name][1], dtype=dtype).view(shape)
    matrix.finish(torch.float32)
    return matrix.numbers(torch.float32).tolist()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
