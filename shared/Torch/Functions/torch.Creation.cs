using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <content>Making and joining tensors.</content>
public static partial class torch
{
    private static readonly Operator _empty_memory_format = new("aten::empty", "memory_format");
    private static readonly Operator _zeros = new("aten::zeros");
    private static readonly Operator _ones = new("aten::ones");
    private static readonly Operator _full = new("aten::full");
    private static readonly Operator _arange_start_step = new("aten::arange", "start_step");
    private static readonly Operator _empty_like = new("aten::empty_like");
    private static readonly Operator _zeros_like = new("aten::zeros_like");
    private static readonly Operator _ones_like = new("aten::ones_like");
    private static readonly Operator _randn_generator = new("aten::randn", "generator");
    private static readonly Operator _rand_generator = new("aten::rand", "generator");
    private static readonly Operator _randint_low_generator = new("aten::randint", "low_generator");
    private static readonly Operator _cat = new("aten::cat");
    private static readonly Operator _stack = new("aten::stack");
    private static readonly Operator _where_self = new("aten::where", "self");
    private static readonly Operator _outer = new("aten::outer");
    private static readonly Operator _matmul = new("aten::matmul");
    private static readonly Operator _mm_dtype = new("aten::mm", "dtype");
    private static readonly Operator _einsum = new("aten::einsum");
    private static readonly Operator _searchsorted_Tensor = new("aten::searchsorted", "Tensor");
    private static readonly Operator _multinomial = new("aten::multinomial");
    private static readonly Operator _dropout = new("aten::dropout");

    /// <summary>Uninitialised.</summary>
    public static Tensor empty(long[] sizes, ScalarType dtype = ScalarType.Float32, Device? device = null) => _empty_memory_format.Call(sizes, dtype, Argument.None, device ?? Device.CPU);
    public static Tensor zeros(long[] sizes, ScalarType dtype = ScalarType.Float32, Device? device = null) => _zeros.Call(sizes, dtype, Argument.None, device ?? Device.CPU);
    public static Tensor ones(long[] sizes, ScalarType dtype = ScalarType.Float32, Device? device = null) => _ones.Call(sizes, dtype, Argument.None, device ?? Device.CPU);
    public static Tensor full(long[] sizes, Scalar value, ScalarType dtype = ScalarType.Float32, Device? device = null) => _full.Call(sizes, value, dtype, Argument.None, device ?? Device.CPU);
    /// <summary>start, start + step, … below end.</summary>
    public static Tensor arange(Scalar start, Scalar end, Scalar step, ScalarType dtype, Device? device = null) => _arange_start_step.Call(start, end, step, dtype, Argument.None, device ?? Device.CPU);
    /// <summary>Uninitialised, with the type and device of another.</summary>
    public static Tensor empty_like(Tensor other) => _empty_like.Call(other);
    public static Tensor zeros_like(Tensor other) => _zeros_like.Call(other);
    public static Tensor ones_like(Tensor other) => _ones_like.Call(other);
    /// <summary>Standard normal.</summary>
    public static Tensor randn(long[] sizes, Generator? generator = null, ScalarType dtype = ScalarType.Float32, Device? device = null) => _randn_generator.Call(sizes, generator, dtype, Argument.None, device ?? Device.CPU);
    /// <summary>Uniform on [0, 1).</summary>
    public static Tensor rand(long[] sizes, Generator? generator = null, ScalarType dtype = ScalarType.Float32, Device? device = null) => _rand_generator.Call(sizes, generator, dtype, Argument.None, device ?? Device.CPU);
    /// <summary>Integers in [low, high), i64.</summary>
    public static Tensor randint(long low, long high, long[] sizes, Generator? generator = null, Device? device = null) => _randint_low_generator.Call(low, high, sizes, generator, ScalarType.Int64, Argument.None, device ?? Device.CPU);
    public static Tensor cat(Tensor[] tensors, int dimension = 0) => _cat.Call(tensors, dimension);
    public static Tensor stack(Tensor[] tensors, int dimension = 0) => _stack.Call(tensors, dimension);
    /// <summary>a where the condition holds, else b.</summary>
    public static Tensor where(Tensor condition, Tensor a, Tensor b) => _where_self.Call(condition, a, b);
    /// <summary>Outer product of two vectors.</summary>
    public static Tensor outer(Tensor a, Tensor b) => _outer.Call(a, b);
    public static Tensor matmul(Tensor a, Tensor b) => _matmul.Call(a, b);
    /// <summary>Product of matrices of 16-bit numbers, summed and given in a wider type. On a GPU with libtorch 2.9 or later.</summary>
    public static Tensor mm(Tensor a, Tensor b, ScalarType out_dtype) => _mm_dtype.Call(a, b, out_dtype);
    /// <summary>Whether this libtorch has <see cref="mm(Tensor, Tensor, ScalarType)"/>.</summary>
    public static bool has_mm_out_dtype { get; } = nn.functional.IsAtLeast(2, 9);
    /// <summary>Einstein's summation: <c>einsum("ij,jk->ik", a, b)</c>.</summary>
    public static Tensor einsum(string equation, params Tensor[] operands) => _einsum.Call(equation, operands);
    /// <summary>Places of values in a sorted sequence, the last dimension of both; right: after equal elements.</summary>
    public static Tensor searchsorted(Tensor sorted, Tensor values, bool right = false) => _searchsorted_Tensor.Call(sorted, values, false, right);
    /// <summary>Draws indices by unnormalised weights of the last dimension.</summary>
    public static Tensor multinomial(Tensor weights, long count, bool replacement = false, Generator? generator = null) => _multinomial.Call(weights, count, replacement, generator);
    /// <summary>Samples without gradients from dropout's mask: 0 with probability p, else x/(1 − p).</summary>
    public static Tensor dropout(Tensor x, double p, bool train) => _dropout.Call(x, p, train);
}
