"""Matrices that stay packed in memory. Look-ups and dense products expand rows; one token on a GPU is multiplied from the packed form."""
import torch
from torch import nn
from torch.nn import functional as F

try:
    from . import kernels
except ImportError:  # Triton is not installed
    kernels = None

TYPES = {"I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "F16": torch.float16}


class Matrix(nn.Module):
    """A matrix [rows, columns] whose tensors are buffers as the file has them, in place of a linear layer or an embedding."""

    def __init__(self, tensors, columns, group, old):
        super().__init__()
        self.columns, self.group, self.looked_up = columns, group, isinstance(old, nn.Embedding)
        self.bias, self.factor = getattr(old, "bias", None), getattr(old, "scalar_embed_scale", 1.0)  # the factor is Gemma 3's
        self.weight = torch.empty(0, device="meta")  # some models look at it when they are made
        self.weight._is_hf_initialized = True
        for name in tensors.keys() - {"bias"}:
            self.register_buffer(name, torch.empty(tensors[name][1], dtype=TYPES[tensors[name][0]], device="meta"))

    def finish(self, dtype):
        """After loading: scales in one form, so that nothing is left to decide when they are used."""
        exponent = self._buffers.pop("scale_exponent", None)
        self.unify()
        for name in () if exponent is None else ("alpha", "beta", "q8_scale"):
            if self._buffers.get(name) is not None:
                self._buffers[name] = self._buffers[name].float() * 2.0 ** int(exponent)
        self.register_buffer("multiplier", torch.tensor(self.factor, dtype=dtype, device=next(self.buffers()).device))

    def product(self, x):
        """x [..., columns] times the transposed matrix, [..., rows]."""
        packed = kernels is not None and x.is_cuda and x.numel() == self.columns and self.fits
        y = self.one(x) if packed else F.linear(x, self.numbers(x.dtype))
        return y if self.bias is None else y + self.bias

    def forward(self, x):
        return self.numbers(self.multiplier.dtype, x) * self.multiplier if self.looked_up else self.product(x)

    def spread(self, scales):
        """[..., groups] to [..., columns], fp32."""
        return scales.float().repeat_interleave(self.group, -1)[..., :self.columns]


class BasesMatrix(Matrix):
    """beta + the sum of N sign matrices times alpha: planes [N, rows, words], alpha [N, rows, groups], beta [rows, groups] or None."""

    def unify(self):
        if (step := self._buffers.pop("step", None)) is not None:  # levels lowest + step · q, the first plane is q's highest bit
            step, bases, stored = step.float(), len(self.planes), self._buffers
            lowest = stored.pop("lowest") * step if "lowest" in stored else -stored.pop("zero") * step if "zero" in stored else stored.pop("minimum").float()
            self.register_buffer("alpha", torch.stack([step * 2.0 ** (bases - 2 - plane) for plane in range(bases)]))
            self.register_buffer("beta", lowest + (2 ** bases - 1) / 2 * step)
        elif "beta" not in self._buffers:
            self.register_buffer("beta", None)
        self.fits = self.group % 32 == 0 or self.alpha.shape[-1] == 1

    def one(self, x):
        return kernels.bases(self.planes, self.alpha, self.beta, x, self.group)

    def numbers(self, dtype, rows=slice(None)):
        """Rows of the matrix; rows are indices of any shape."""
        total = 0 if self.beta is None else self.spread(self.beta[rows])
        bits = torch.arange(32, dtype=torch.int32, device=self.planes.device)
        for planes, alpha in zip(self.planes, self.alpha):
            signs = (planes[rows].unsqueeze(-1) >> bits & 1).flatten(-2)[..., :self.columns]
            alpha = self.spread(alpha[rows])
            total = total + torch.where(signs != 0, alpha, -alpha)
        return total.to(dtype)


class IntegerMatrix(Matrix):
    """Integers times the scale of their group: q8 [rows, columns], q8_scale [rows, groups]. Those of 6 and 4 bits are unpacked to bytes."""

    fits = True

    def unify(self):
        for bits in (6, 4):
            if (packed := self._buffers.pop(f"q{bits}", None)) is not None:
                first = torch.arange(self.columns, device=packed.device) * bits
                pairs = packed[:, first >> 3].int() | packed[:, first + bits - 1 >> 3].int() << 8
                self.register_buffer("q8", ((pairs >> (first & 7) & (1 << bits) - 1) - (1 << bits - 1)).to(torch.int8))
                self.register_buffer("q8_scale", self._buffers.pop(f"q{bits}_scale"))

    def one(self, x):
        return kernels.integers(self.q8, self.q8_scale, x, self.group)

    def numbers(self, dtype, rows=slice(None)):
        return (self.q8[rows].float() * self.spread(self.q8_scale[rows])).to(dtype)


def expand(model):
    """Dense weights in place of the packed ones, embeddings excepted: the speed of the plain model in the memory of the plain model."""
    for name, layer in list(model.named_modules()):
        packed = layer.of[0] if isinstance(layer, TiedHead) else layer
        if isinstance(packed, Matrix) and not (packed is layer and packed.looked_up):
            weight = packed.numbers(packed.multiplier.dtype)
            dense = nn.Linear(packed.columns, len(weight), bias=layer.bias is not None, device="meta")
            dense.weight, dense.bias = nn.Parameter(weight, requires_grad=False), layer.bias
            model.set_submodule(name, dense)
    return model


class TiedHead(nn.Module):
    """The head of a model that multiplies by its embedding, which is not a child: the file has its tensors under one name."""

    def __init__(self, embedding, bias):
        super().__init__()
        self.of, self.bias = [embedding], bias

    def forward(self, x):
        y = self.of[0].product(x)
        return y if self.bias is None else y + self.bias
