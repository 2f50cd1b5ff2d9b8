using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Alternating refinement of G groups of g weights at once on a device: the batched form of <see cref="AlternatingRefiner"/>, with
/// the same starts, rounds and selection. Sorted weights and running sums make a round cost 2^N·log g per group.
/// </summary>
internal sealed class GroupBatch
{
    private readonly Recipe _recipe;
    private readonly SignTables _tables;
    private readonly Device _device;
    private readonly long _groups;
    private readonly long _length;
    private readonly Tensor _values;
    private readonly Tensor _columns;
    private readonly Tensor _sums;
    private readonly Tensor _squares;

    /// <summary>Sorts the weights; the tensors belong to the caller's scope.</summary>
    /// <param name="recipe">Resolved: cascaded init, alternating refinement, at least one round.</param>
    /// <param name="tables">Constants of the recipe's bases on the weights' device.</param>
    /// <param name="w">f32 [G, g].</param>
    public GroupBatch(Recipe recipe, SignTables tables, Tensor w)
    {
        (_recipe, _tables, _device) = (recipe, tables, w.device);
        (_groups, _length) = (w.size(0), w.size(1));
        (_values, _columns) = w.sort(1, stable: true);
        var wide = _values.to(ScalarType.Float64);
        _sums = torch.cat([torch.zeros([_groups, 1], ScalarType.Float64, _device), wide.cumsum(1)], 1);
        _squares = wide.square().sum(1);
    }

    /// <summary>Refines all groups and rounds their scales. The result belongs to the caller's scope.</summary>
    public BatchResult Refine()
    {
        using var scope = torch.NewDisposeScope();
        var (initCodes, initErrors, counts, sums) = Cascade();
        var solution = Best(counts, sums);
        var (codes, alpha, beta, levels) = Round(solution);
        var errors = new List<Tensor>();
        for (var count = 1; count <= _recipe.Bases; count++)
            errors.Add(SquaredError(codes, levels[count - 1]));
        var flips = new List<Tensor>();
        for (var basis = 0; basis < _recipe.Bases; basis++)
            flips.Add(Bit(codes, basis).ne(Bit(initCodes, basis)).sum());
        var placed = torch.zeros([_groups, _length], ScalarType.Int64, _device).scatter_(1, _columns, codes).to(ScalarType.Int32);
        var result = new BatchResult(placed, alpha, beta, _squares.sum(), torch.stack([.. errors]), initErrors, torch.stack([.. flips]));
        return result.MoveToOuterDisposeScope();
    }

    private static Tensor Bit(Tensor codes, int basis) =>
        codes.bitwise_right_shift(torch.full([1], basis, ScalarType.Int64, codes.device)).bitwise_and(1);

    /// <summary>
    /// The cascaded init on sorted weights. Its codes, read with the first basis as the highest bit, rise with the weights, so that counts
    /// and
    /// sums are again those of intervals (adding them up by scattering would depend on the order of a GPU's threads).
    /// </summary>
    private (Tensor Codes, Tensor Errors, Tensor Counts, Tensor Sums) Cascade()
    {
        using var scope = torch.NewDisposeScope();
        var residual = _values.to(ScalarType.Float64);
        var codes = torch.zeros([_groups, _length], ScalarType.Float32, _device);
        var errors = new List<Tensor>();
        for (var basis = 0; basis < _recipe.Bases; basis++)
        {
            using var inner = torch.NewDisposeScope();
            var alpha = residual.abs().mean([1], keepdim: true);
            var positive = residual.ge(0);
            residual.sub_(torch.where(positive, alpha, -alpha));
            codes.add_(positive.to(ScalarType.Float32), 1 << (_recipe.Bases - 1 - basis));
            errors.Add(residual.square().sum().MoveToOuterDisposeScope());
        }
        var borders = torch.arange(1, 1 << _recipe.Bases, 1, ScalarType.Float32, _device).unsqueeze(0).expand(_groups, -1).contiguous();
        var (counts, sums) = Intervals(torch.searchsorted(codes, borders));
        return (_tables.Reversed.index(codes.to(ScalarType.Int64)).MoveToOuterDisposeScope(),
            torch.stack([.. errors]).MoveToOuterDisposeScope(),
            counts.index_select(1, _tables.Reversed).MoveToOuterDisposeScope(),
            sums.index_select(1, _tables.Reversed).MoveToOuterDisposeScope());
    }

    /// <summary>Scales [N + bias, G] of the best start of every group.</summary>
    private Tensor Best(Tensor initCounts, Tensor initSums)
    {
        using var scope = torch.NewDisposeScope();
        var starts = new List<(Tensor Solution, Tensor Objective)>();
        if (_recipe.Starts != Starts.Uniform)
        {
            var equations = new BatchedEquations(_tables, _recipe.Bias, _length, initCounts, initSums);
            var solution = equations.Solve();
            starts.Add((solution, equations.Objective(solution, _squares)));
        }
        if (_recipe.Starts != Starts.Greedy)
        {
            foreach (var clip in UniformStart.Clips)
                starts.Add((Uniform(clip), torch.full([_groups], double.PositiveInfinity, ScalarType.Float64, _device)));
        }
        var rounds = _recipe.Rounds!.Value;
        if (starts.Count > AlternatingRefiner.Survivors)
        {
            var probe = Math.Min(rounds, AlternatingRefiner.ProbeRounds);
            starts = [.. starts.Select(start => Run(start, probe))];
            starts = Survivors(starts);
            rounds -= probe;
        }
        var best = Run(starts[0], rounds);
        foreach (var start in starts.Skip(1))
        {
            var other = Run(start, rounds);
            var better = other.Objective.lt(best.Objective);
            best = (torch.where(better, other.Solution, best.Solution), torch.where(better, other.Objective, best.Objective));
        }
        return best.Solution.MoveToOuterDisposeScope();
    }

    /// <summary>The init and, group by group, the best of the others.</summary>
    private List<(Tensor Solution, Tensor Objective)> Survivors(List<(Tensor Solution, Tensor Objective)> starts)
    {
        var kept = starts.Take(_recipe.Starts == Starts.Both ? 1 : 0).ToList();
        var others = starts.Skip(kept.Count).ToList();
        var objectives = torch.stack([.. others.Select(start => start.Objective)]);
        var solutions = torch.stack([.. others.Select(start => start.Solution)]);
        while (kept.Count < AlternatingRefiner.Survivors)
        {
            var place = objectives.argmin(0, keepdim: true);
            var index = place.unsqueeze(0).expand(1, solutions.size(1), _groups);
            kept.Add((solutions.gather(0, index).squeeze(0), objectives.gather(0, place).squeeze(0)));
            var none = torch.full([1, _groups], double.PositiveInfinity, ScalarType.Float64, _device);
            objectives = objectives.clone().scatter_(0, place, none);
        }
        return kept;
    }

    private Tensor Uniform(double clip)
    {
        using var scope = torch.NewDisposeScope();
        var smallest = _values.select(1, 0).to(ScalarType.Float64);
        var largest = _values.select(1, _length - 1).to(ScalarType.Float64);
        var half = clip * (_recipe.Bias ? (largest - smallest) / 2 : smallest.abs().maximum(largest.abs()));
        var unit = half / ((1 << _recipe.Bases) - 1);
        var rows = Enumerable.Range(0, _recipe.Bases).Select(basis => unit * (1 << (_recipe.Bases - 1 - basis))).ToList();
        if (_recipe.Bias)
            rows.Add(clip * (smallest + largest) / 2);
        return torch.stack([.. rows]).MoveToOuterDisposeScope();
    }

    private (Tensor Solution, Tensor Objective) Run((Tensor Solution, Tensor Objective) start, int rounds)
    {
        var (solution, objective) = start;
        for (var round = 0; round < rounds; round++)
        {
            using var scope = torch.NewDisposeScope();
            var (levels, codes) = Levels(solution).sort(1, stable: true);
            var (counts, sums) = Intervals(torch.searchsorted(_values, Thresholds(levels)));
            counts = torch.empty_like(counts).scatter_(1, codes, counts);
            sums = torch.empty_like(sums).scatter_(1, codes, sums);
            var equations = new BatchedEquations(_tables, _recipe.Bias, _length, counts, sums);
            var next = equations.Solve();
            var reached = equations.Objective(next, _squares);
            // As in the plain form: the ridge and rounding can make it worse by a hair, then the old scales stay.
            var kept = equations.Objective(solution, _squares);
            var worse = kept.lt(reached).logical_and(objective.isfinite());
            var before = (solution, objective);
            solution = torch.where(worse, solution, next).MoveToOuterDisposeScope();
            objective = torch.where(worse, kept, reached).MoveToOuterDisposeScope();
            if (round == 0)
                continue;
            before.solution.Dispose();
            before.objective.Dispose();
        }
        return (solution, objective);
    }

    /// <summary>Values of all codes, [G, 2^N].</summary>
    private Tensor Levels(Tensor solution)
    {
        var levels = torch.matmul(solution.narrow(0, 0, _recipe.Bases).t(), _tables.Signs.t());
        return _recipe.Bias ? levels + solution.select(0, _recipe.Bases).unsqueeze(1) : levels;
    }

    private static Tensor Thresholds(Tensor sorted)
    {
        var count = sorted.size(1) - 1;
        return ((sorted.narrow(1, 0, count) + sorted.narrow(1, 1, count)) * 0.5).to(ScalarType.Float32);
    }

    /// <summary>Lengths and sums of the 2^N intervals between inner bounds [G, 2^N − 1].</summary>
    private (Tensor Counts, Tensor Sums) Intervals(Tensor inner)
    {
        var first = torch.zeros([_groups, 1], ScalarType.Int64, _device);
        var bounds = torch.cat([first, inner, first + _length], 1);
        var running = _sums.gather(1, bounds);
        var count = bounds.size(1) - 1;
        return (Steps(bounds).to(ScalarType.Float64), Steps(running));

        Tensor Steps(Tensor values) => values.narrow(1, 1, count) - values.narrow(1, 0, count);
    }

    /// <summary>
    /// Positive falling scales in fp16 and the nearest level of every sorted weight; levels with the first 1..N bases, [G, 2^N] each.
    /// </summary>
    private (Tensor Codes, Tensor Alpha, Tensor? Beta, Tensor[] Levels) Round(Tensor solution)
    {
        var (scales, _) = solution.narrow(0, 0, _recipe.Bases).abs().sort(0, descending: true, stable: true);
        var alpha = scales.to(ScalarType.Float16);
        var beta = _recipe.Bias ? solution.select(0, _recipe.Bases).to(ScalarType.Float16) : null;
        var rounded = alpha.to(ScalarType.Float64);
        var levels = new Tensor[_recipe.Bases];
        var sum = beta is null ? torch.zeros([_groups, 1], ScalarType.Float64, _device) : beta.to(ScalarType.Float64).unsqueeze(1);
        for (var basis = 0; basis < _recipe.Bases; basis++)
            sum = levels[basis] = sum + rounded.select(0, basis).unsqueeze(1) * _tables.Signs.select(1, basis).unsqueeze(0);
        var (sorted, order) = levels[^1].sort(1, stable: true);
        var codes = order.gather(1, torch.searchsorted(Thresholds(sorted), _values, right: true));
        return (codes, alpha, beta, levels);
    }

    private Tensor SquaredError(Tensor codes, Tensor levels)
    {
        using var scope = torch.NewDisposeScope();
        return (_values.to(ScalarType.Float64) - levels.gather(1, codes)).square().sum().MoveToOuterDisposeScope();
    }
}
