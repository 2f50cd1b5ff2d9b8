"""One vector times a packed matrix (Triton), reading the packed form only. layers.py has the plain form of both."""
import torch
import triton
import triton.language as tl




@triton.jit
def _turn(x, turned, columns, words, WORDS: tl.constexpr):
    """x as [34, words]: what belongs to each bit of a word, times 16 >> bit % 4, then the sums of those and of x over the word."""
    word, bit = tl.program_id(0) * WORDS + tl.arange(0, WORDS), tl.arange(0, 32)
    place = word[:, None] * 32 + bit[None, :]
    value = tl.load(x + place, mask=place < columns, other=0.0).to(tl.float32)
    weighted = value * (16 >> (bit % 4)).to(tl.float32)[None, :]
    tl.store(turned + bit[None, :] * words + word[:, None], weighted, mask=(word < words)[:, None])
    tl.store(turned + 32 * words + word, tl.sum(weighted, 1), mask=word < words)
    tl.store(turned + 33 * words + word, tl.sum(value, 1), mask=word < words)


@triton.jit
def _bases(planes, alpha, beta, x, y, rows, words, groups, group, BASES: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, WORDS: tl.constexpr):
    """An element of a tile is a word, 32 columns of a row. Four bits at a time become the numbers 1 + bit / 16, / 8, / 4, / 2 by their place in a mantissa."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, words, WORDS):
        word = start + tl.arange(0, WORDS)
        inside = (row < rows)[:, None] & (word < words)[None, :]
        scale = row[:, None] * groups + (word // group)[None, :]
        offset = tl.load(x + 32 * words + word, mask=word < words, other=0.0)
        whole = tl.load(x + 33 * words + word, mask=word < words, other=0.0)
        for plane in tl.static_range(BASES):
            signs = tl.load(planes + (plane * rows + row[:, None]) * words + word[None, :], mask=inside, other=0)
            positive = tl.zeros([ROWS, WORDS], tl.float32) - offset[None, :]
            for first in tl.static_range(0, 32, 4):
                shifted = signs << (19 - first) if first < 20 else signs >> (first - 19)
                for bit in tl.static_range(4):
                    one = ((shifted & (0x080000 << bit)) | 0x3F800000).to(tl.float32, bitcast=True)
                    positive += one * tl.load(x + (first + bit) * words + word, mask=word < words, other=0.0)[None, :]
            a = tl.load(alpha + plane * rows * groups + scale, mask=inside, other=0.0).to(tl.float32)
            total += tl.sum(a * (2 * positive - whole[None, :]), 1)
        if BIAS:
            total += tl.sum(tl.load(beta + scale, mask=inside, other=0.0).to(tl.float32) * whole[None, :], 1)
    tl.store(y + row, total.to(y.dtype.element_ty), mask=row < rows)


@triton.jit
def _integers(q, scales, x, y, rows, columns, groups, group, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        value = tl.load(x + column, mask=column < columns, other=0.0).to(tl.float32)
        number = tl.load(q + row[:, None] * columns + column[None, :], mask=inside, other=0).to(tl.float32)
        scale = tl.load(scales + row[:, None] * groups + (column // group)[None, :], mask=inside, other=0.0).to(tl.float32)
        total += tl.sum(number * scale * value[None, :], 1)
    tl.store(y + row, total.to(y.dtype.element_ty), mask=row < rows)


def bases(planes, alpha, beta, x, group):
    """x [..., columns] of one row, [..., rows]; group is a multiple of 32 or the whole row."""
    (count, rows, words), groups = planes.shape, alpha.shape[-1]
    turned = torch.empty(34, words, device=x.device)
    y = torch.empty((*x.shape[:-1], rows), dtype=x.dtype, device=x.device)
    # Few rows a program, since every one of them is bound by its own instructions; a short row has no work for a second warp.
    tile, warps, width = (4, 1, 128) if words <= 128 else (8, 2, 64)
    with torch.cuda.device(x.device):
        _turn[(triton.cdiv(words, 8),)](x.contiguous(), turned, x.numel(), words, WORDS=8, num_warps=1)
        _bases[(triton.cdiv(rows, tile),)](
            planes, alpha, alpha if beta is None else beta, turned, y, rows, words, groups, words if groups == 1 else group // 32,
            BASES=count, BIAS=beta is not None, ROWS=tile, WORDS=min(width, triton.next_power_of_2(words)), num_warps=warps)
    return y


def integers(q, scales, x, group):
    rows, columns = q.shape
    y = torch.empty((*x.shape[:-1], rows), dtype=x.dtype, device=x.device)
    with torch.cuda.device(x.device):
        _integers[(triton.cdiv(rows, 8),)](q, scales, x.contiguous(), y, rows, columns, scales.shape[-1], group,
                                           ROWS=8, COLUMNS=min(512, triton.next_power_of_2(columns)), num_warps=4)
    return y
