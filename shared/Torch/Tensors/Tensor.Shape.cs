using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <content>Shapes, views, indexing, copies and conversions.</content>
public sealed partial class Tensor
{
    private static readonly Operator _view = new("aten::view");
    private static readonly Operator _reshape = new("aten::reshape");
    private static readonly Operator _view_dtype = new("aten::view", "dtype");
    private static readonly Operator _transpose_int = new("aten::transpose", "int");
    private static readonly Operator _permute = new("aten::permute");
    private static readonly Operator _t = new("aten::t");
    private static readonly Operator _contiguous = new("aten::contiguous");
    private static readonly Operator _unsqueeze = new("aten::unsqueeze");
    private static readonly Operator _squeeze_dim = new("aten::squeeze", "dim");
    private static readonly Operator _expand = new("aten::expand");
    private static readonly Operator _flatten_using_ints = new("aten::flatten", "using_ints");
    private static readonly Operator _narrow = new("aten::narrow");
    private static readonly Operator _slice_Tensor = new("aten::slice", "Tensor");
    private static readonly Operator _select_int = new("aten::select", "int");
    private static readonly Operator _split_Tensor = new("aten::split", "Tensor");
    private static readonly Operator _split_with_sizes = new("aten::split_with_sizes");
    private static readonly Operator _chunk = new("aten::chunk");
    private static readonly Operator _unbind_int = new("aten::unbind", "int");
    private static readonly Operator _index_select = new("aten::index_select");
    private static readonly Operator _index_Tensor = new("aten::index", "Tensor");
    private static readonly Operator _gather = new("aten::gather");
    private static readonly Operator _scatter_inplace_src = new("aten::scatter_", "src");
    private static readonly Operator _scatter_add_inplace = new("aten::scatter_add_");
    private static readonly Operator _index_copy_inplace = new("aten::index_copy_");
    private static readonly Operator _masked_fill_Scalar = new("aten::masked_fill", "Scalar");
    private static readonly Operator _masked_fill_inplace_Scalar = new("aten::masked_fill_", "Scalar");
    private static readonly Operator _repeat = new("aten::repeat");
    private static readonly Operator _repeat_interleave_self_int = new("aten::repeat_interleave", "self_int");
    private static readonly Operator _flip = new("aten::flip");
    private static readonly Operator _roll = new("aten::roll");
    private static readonly Operator _tril = new("aten::tril");
    private static readonly Operator _triu = new("aten::triu");
    private static readonly Operator _diagonal = new("aten::diagonal");
    private static readonly Operator _detach = new("aten::detach");
    private static readonly Operator _clone = new("aten::clone");
    private static readonly Operator _copy_inplace = new("aten::copy_");
    private static readonly Operator _zero_inplace = new("aten::zero_");
    private static readonly Operator _fill_inplace_Scalar = new("aten::fill_", "Scalar");
    private static readonly Operator _to_dtype = new("aten::to", "dtype");
    private static readonly Operator _to_device = new("aten::to", "device");
    private static readonly Operator _normal_inplace = new("aten::normal_");
    private static readonly Operator _uniform_inplace = new("aten::uniform_");

    /// <summary>The same elements under other sizes without a copy; one size may be −1.</summary>
    public Tensor view(params long[] sizes) => _view.Call(this, sizes);
    /// <summary>As view, with a copy where the layout needs one.</summary>
    public Tensor reshape(params long[] sizes) => _reshape.Call(this, sizes);
    /// <summary>The same bits under another element type of equal width.</summary>
    public Tensor view(ScalarType type) => _view_dtype.Call(this, type);
    public Tensor transpose(int a, int b) => _transpose_int.Call(this, a, b);
    public Tensor permute(params long[] order) => _permute.Call(this, order);
    /// <summary>Transpose of a matrix.</summary>
    public Tensor t() => _t.Call(this);
    public Tensor contiguous() => _contiguous.Call(this);
    public Tensor unsqueeze(int dimension) => _unsqueeze.Call(this, dimension);
    public Tensor squeeze(int dimension) => _squeeze_dim.Call(this, dimension);
    /// <summary>Repeats dimensions of size 1 without a copy; −1 keeps a size.</summary>
    public Tensor expand(params long[] sizes) => _expand.Call(this, sizes);
    public Tensor flatten(int start = 0, int end = -1) => _flatten_using_ints.Call(this, start, end);
    /// <summary>Elements [start, start + length) of a dimension, a view.</summary>
    public Tensor narrow(int dimension, long start, long length) => _narrow.Call(this, dimension, start, length);
    /// <summary>Elements [start, end) of a dimension with a step, a view.</summary>
    public Tensor slice(int dimension, long? start, long? end, long step = 1) => _slice_Tensor.Call(this, dimension, start, end, step);
    /// <summary>One element of a dimension, which vanishes; a view.</summary>
    public Tensor select(int dimension, long index) => _select_int.Call(this, dimension, index);
    public Tensor[] split(long size, int dimension = 0) => _split_Tensor.CallList(this, size, dimension);
    public Tensor[] split(long[] sizes, int dimension = 0) => _split_with_sizes.CallList(this, sizes, dimension);
    public Tensor[] chunk(long count, int dimension = 0) => _chunk.CallList(this, count, dimension);
    public Tensor[] unbind(int dimension = 0) => _unbind_int.CallList(this, dimension);
    /// <summary>Rows of a dimension by an i64 vector.</summary>
    public Tensor index_select(int dimension, Tensor index) => _index_select.Call(this, dimension, index);
    /// <summary>Fancy indexing: one index tensor per leading dimension, null keeps the dimension.</summary>
    public Tensor index(params Tensor?[] indices) => _index_Tensor.Call(this, indices);
    /// <summary>out[i][j] = this[i][index[i][j]] for dimension 1, and so on.</summary>
    public Tensor gather(int dimension, Tensor index) => _gather.Call(this, dimension, index);
    public Tensor scatter_(int dimension, Tensor index, Tensor source)
    {
        _scatter_inplace_src.CallVoid(this, dimension, index, source);
        return this;
    }

    public Tensor scatter_add_(int dimension, Tensor index, Tensor source)
    {
        _scatter_add_inplace.CallVoid(this, dimension, index, source);
        return this;
    }

    public Tensor index_copy_(int dimension, Tensor index, Tensor source)
    {
        _index_copy_inplace.CallVoid(this, dimension, index, source);
        return this;
    }

    public Tensor masked_fill(Tensor mask, Scalar value) => _masked_fill_Scalar.Call(this, mask, value);
    public Tensor masked_fill_(Tensor mask, Scalar value)
    {
        _masked_fill_inplace_Scalar.CallVoid(this, mask, value);
        return this;
    }

    public Tensor repeat(params long[] counts) => _repeat.Call(this, counts);
    /// <summary>Repeats each element of a dimension.</summary>
    public Tensor repeat_interleave(long count, int dimension) => _repeat_interleave_self_int.Call(this, count, dimension);
    public Tensor flip(params long[] dimensions) => _flip.Call(this, dimensions);
    public Tensor roll(long shift, int dimension) => _roll.Call(this, new[] { shift }, new[] { (long)dimension });
    /// <summary>Keeps elements on and below the diagonal.</summary>
    public Tensor tril(long diagonal = 0) => _tril.Call(this, diagonal);
    /// <summary>Keeps elements on and above the diagonal.</summary>
    public Tensor triu(long diagonal = 0) => _triu.Call(this, diagonal);
    public Tensor diagonal(int a = 0, int b = 1) => _diagonal.Call(this, 0, a, b);
    /// <summary>A view of the same elements that the graph of gradients does not know.</summary>
    public Tensor detach() => _detach.Call(this);
    public Tensor clone() => _clone.Call(this);
    public Tensor copy_(Tensor source)
    {
        _copy_inplace.CallVoid(this, source);
        return this;
    }

    public Tensor zero_()
    {
        _zero_inplace.CallVoid(this);
        return this;
    }

    public Tensor fill_(Scalar value)
    {
        _fill_inplace_Scalar.CallVoid(this, value);
        return this;
    }

    /// <summary>Converts the element type; the tensor itself when it has it already.</summary>
    public Tensor to(ScalarType type) => _to_dtype.Call(this, type);
    /// <summary>Moves to a device; the tensor itself when it is there.</summary>
    public Tensor to(Device device) => _to_device.Call(this, device, dtype);
    public Tensor to(Device device, ScalarType type) => _to_device.Call(this, device, type);
    /// <summary>Fills with N(mean, std²).</summary>
    public Tensor normal_(double mean = 0, double std = 1, Generator? generator = null)
    {
        _normal_inplace.CallVoid(this, mean, std, generator);
        return this;
    }

    /// <summary>Fills with the uniform distribution on [from, to).</summary>
    public Tensor uniform_(double from = 0, double to = 1, Generator? generator = null)
    {
        _uniform_inplace.CallVoid(this, from, to, generator);
        return this;
    }
}
