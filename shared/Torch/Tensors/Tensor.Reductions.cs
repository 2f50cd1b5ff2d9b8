using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <content>Reductions, orderings and products.</content>
public sealed partial class Tensor
{
    private static readonly Operator _sum = new("aten::sum");
    private static readonly Operator _sum_dim_IntList = new("aten::sum", "dim_IntList");
    private static readonly Operator _mean = new("aten::mean");
    private static readonly Operator _mean_dim = new("aten::mean", "dim");
    private static readonly Operator _max = new("aten::max");
    private static readonly Operator _min = new("aten::min");
    private static readonly Operator _amax = new("aten::amax");
    private static readonly Operator _amin = new("aten::amin");
    private static readonly Operator _argmax = new("aten::argmax");
    private static readonly Operator _argmin = new("aten::argmin");
    private static readonly Operator _norm_Scalar = new("aten::norm", "Scalar");
    private static readonly Operator _var_dim = new("aten::var", "dim");
    private static readonly Operator _all = new("aten::all");
    private static readonly Operator _any = new("aten::any");
    private static readonly Operator _cumsum = new("aten::cumsum");
    private static readonly Operator _logsumexp = new("aten::logsumexp");
    private static readonly Operator _sort_stable = new("aten::sort", "stable");
    private static readonly Operator _topk = new("aten::topk");
    private static readonly Operator _matmul = new("aten::matmul");
    private static readonly Operator _bmm = new("aten::bmm");

    public Tensor sum() => _sum.Call(this);
    public Tensor sum(int dimension, bool keepdim = false) => _sum_dim_IntList.Call(this, new[] { (long)dimension }, keepdim);
    public Tensor mean() => _mean.Call(this);
    public Tensor mean(int dimension, bool keepdim = false) => _mean_dim.Call(this, new[] { (long)dimension }, keepdim);
    /// <summary>Largest element.</summary>
    public Tensor max() => _max.Call(this);
    /// <summary>Smallest element.</summary>
    public Tensor min() => _min.Call(this);
    /// <summary>Largest along a dimension.</summary>
    public Tensor amax(int dimension, bool keepdim = false) => _amax.Call(this, new[] { (long)dimension }, keepdim);
    /// <summary>Smallest along a dimension.</summary>
    public Tensor amin(int dimension, bool keepdim = false) => _amin.Call(this, new[] { (long)dimension }, keepdim);
    /// <summary>Index of the largest along a dimension.</summary>
    public Tensor argmax(int dimension, bool keepdim = false) => _argmax.Call(this, dimension, keepdim);
    /// <summary>Index of the smallest along a dimension.</summary>
    public Tensor argmin(int dimension, bool keepdim = false) => _argmin.Call(this, dimension, keepdim);
    /// <summary>Euclidean norm of all elements.</summary>
    public Tensor norm() => _norm_Scalar.Call(this, 2);
    /// <summary>Variance along a dimension, divided by n (not n − 1).</summary>
    public Tensor var(int dimension, bool keepdim = false) => _var_dim.Call(this, new[] { (long)dimension }, false, keepdim);
    /// <summary>True where all elements are.</summary>
    public Tensor all() => _all.Call(this);
    /// <summary>True where any element is.</summary>
    public Tensor any() => _any.Call(this);
    public Tensor cumsum(int dimension) => _cumsum.Call(this, dimension);
    public Tensor logsumexp(int dimension, bool keepdim = false) => _logsumexp.Call(this, new[] { (long)dimension }, keepdim);
    /// <summary>Values and indices in order; equal elements keep their order.</summary>
    public (Tensor Values, Tensor Indices) sort(int dimension = -1, bool descending = false) => _sort_stable.Call2(this, true, dimension, descending);
    /// <summary>The k largest along a dimension: values and indices.</summary>
    public (Tensor Values, Tensor Indices) topk(long k, int dimension = -1) => _topk.Call2(this, k, dimension);
    /// <summary>Product with a matrix or a batch of them.</summary>
    public Tensor matmul(Tensor other) => _matmul.Call(this, other);
    /// <summary>Product of two batches [B, n, k] · [B, k, m].</summary>
    public Tensor bmm(Tensor other) => _bmm.Call(this, other);
}
