namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// The N+1 normal equations of G groups at once, from counts and sums per code, solved by Cholesky's factors written out over vectors of G:
/// the batched form of <see cref="NormalEquations"/>. Everything is fp64.
/// </summary>
internal sealed class BatchedEquations
{
    private readonly int _bases;
    private readonly int _unknowns;
    private readonly double _length;
    private readonly Tensor[,] _matrix;
    private readonly Tensor[] _right;

    /// <param name="tables">Constants of N bases.</param>
    /// <param name="bias">Whether there is a β.</param>
    /// <param name="length">g.</param>
    /// <param name="counts">Weights of every code, [G, 2^N].</param>
    /// <param name="sums">Their sums, [G, 2^N].</param>
    public BatchedEquations(SignTables tables, bool bias, long length, Tensor counts, Tensor sums)
    {
        _bases = (int)tables.Signs.size(1);
        _unknowns = _bases + (bias ? 1 : 0);
        _length = length;
        _matrix = new Tensor[_unknowns, _unknowns];
        _right = new Tensor[_unknowns];
        var signs = tables.Signs.t();
        var products = torch.matmul(tables.Products, counts.t());
        var right = torch.matmul(signs, sums.t());
        for (var i = 0; i < _bases; i++)
        {
            _right[i] = right.select(0, i);
            for (var j = 0; j < i; j++)
                _matrix[i, j] = products.select(0, i * _bases + j);
        }
        if (!bias)
            return;
        var single = torch.matmul(signs, counts.t());
        for (var j = 0; j < _bases; j++)
            _matrix[_bases, j] = single.select(0, j);
        _right[_bases] = sums.sum(1);
    }

    /// <summary>Σ(w − ŵ)² [G] under scales [N, G] and bias [G] (the last row where there is one).</summary>
    public Tensor Objective(Tensor solution, Tensor squares)
    {
        using var scope = torch.NewDisposeScope();
        var sum = squares.clone();
        for (var i = 0; i < _unknowns; i++)
        {
            using var inner = torch.NewDisposeScope();
            var product = _right[i].neg();
            for (var j = 0; j < i; j++)
                product.addcmul_(_matrix[i, j], solution.select(0, j), 1);
            var a = solution.select(0, i);
            sum.addcmul_(a, product.mul_(2).add_(a, _length), 1);
        }
        return sum.MoveToOuterDisposeScope();
    }

    /// <summary>The scales and bias of least squares, [N + bias, G].</summary>
    public Tensor Solve()
    {
        using var scope = torch.NewDisposeScope();
        var ridge = NormalEquations.Ridge * _length;
        var factor = new Tensor[_unknowns, _unknowns];
        var inverse = new Tensor[_unknowns];
        var solution = new Tensor[_unknowns];
        for (var i = 0; i < _unknowns; i++)
        {
            var right = _right[i].clone();
            var diagonal = torch.full([_right[i].size(0)], _length + ridge, ScalarType.Float64, _right[i].device);
            for (var j = 0; j < i; j++)
            {
                var entry = _matrix[i, j].clone();
                for (var k = 0; k < j; k++)
                    entry.addcmul_(factor[i, k], factor[j, k], -1);
                factor[i, j] = entry.mul_(inverse[j]);
                right.addcmul_(entry, solution[j], -1);
                diagonal.addcmul_(entry, entry, -1);
            }
            inverse[i] = diagonal.clamp_(min: ridge).rsqrt();
            solution[i] = right.mul_(inverse[i]);
        }
        for (var i = _unknowns - 1; i >= 0; i--)
        {
            for (var k = i + 1; k < _unknowns; k++)
                solution[i].addcmul_(factor[k, i], solution[k], -1);
            solution[i].mul_(inverse[i]);
        }
        return torch.stack(solution).MoveToOuterDisposeScope();
    }
}
