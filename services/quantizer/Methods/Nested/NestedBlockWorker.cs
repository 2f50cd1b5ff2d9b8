using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>Takes blocks of rows through column feedback, joint scales of every n and descent over the shared signs; one per thread.</summary>
internal sealed class NestedBlockWorker
{
    private readonly LayerWeights _weights;
    private readonly Curvature _curvature;
    private readonly LayerState[] _layers;
    private readonly RowBlock[] _best;
    private readonly RowBlock[] _trial;
    private readonly JointScales[] _scales;
    private readonly NestedTable _levels;
    private readonly NestedFeedback _feedback;
    private readonly NestedDescent _descent;

    /// <param name="weights">The layer.</param>
    /// <param name="curvature">Of its inputs.</param>
    /// <param name="layers">Its state with n = 1 … N bases; changed row by row.</param>
    /// <param name="capacity">The most rows of a block.</param>
    public NestedBlockWorker(LayerWeights weights, Curvature curvature, LayerState[] layers, int capacity)
    {
        (_weights, _curvature, _layers) = (weights, curvature, layers);
        _best = Array.ConvertAll(layers, layer => layer.NewBlock(capacity));
        _trial = Array.ConvertAll(layers, layer => layer.NewBlock(capacity));
        _scales = Array.ConvertAll(_best, block => new JointScales(curvature.Matrix, block, capacity, keepsPlanes: true));
        _levels = new NestedTable(capacity, layers[^1].Groups, layers.Length);
        _feedback = new NestedFeedback(curvature, layers.Length, capacity);
        _descent = new NestedDescent(curvature.Matrix, weights.InFeatures, layers.Length, capacity);
    }

    /// <summary>Improves some rows.</summary>
    /// <param name="first">The first of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="objectives">Gets, for every row, e_n H e_nᵀ of every n at the end, [N].</param>
    /// <param name="trace">Told J of each row after each step; null for nobody.</param>
    public void Run(int first, int count, double[][] objectives, Action<int, double>? trace)
    {
        var w = BlockWorker.Widen(_weights, first, count);
        for (var n = 0; n < _layers.Length; n++)
        {
            _layers[n].Read(first, count, _best[n]);
            _best[n].Measure(w, _curvature.Matrix);
        }
        var importance = Weigh(count);
        Tell();
        Take(_trial, _best);
        _levels.Update(_trial);
        _feedback.Run(w, _trial, _levels, importance);
        Measure();
        Accept();
        for (var round = 1; ; round++)
        {
            for (var n = 0; n < _layers.Length; n++)
                _scales[n].Run(_trial[n]);
            Measure();
            // The scales of one n are nothing to the others.
            for (var n = 0; n < _layers.Length; n++)
                _best[n].TakeBetter(_trial[n]);
            Take(_trial, _best);
            Tell();
            if (round == OutputAwareMethod.Rounds)
                break;
            _levels.Update(_trial);
            _descent.Run(w, _trial, _levels, importance);
            Accept();
        }
        for (var row = 0; row < count; row++)
            objectives[first + row] = Array.ConvertAll(_best, block => block.Objective[row]);
        for (var n = 0; n < _layers.Length; n++)
            _layers[n].Write(first, _best[n]);

        void Measure()
        {
            foreach (var block in _trial)
                block.Measure(w, _curvature.Matrix);
        }

        void Accept()
        {
            var better = Enumerable.Range(0, count).Select(row => Joint(_trial, row) < Joint(_best, row)).ToArray();
            for (var n = 0; n < _layers.Length; n++)
                _best[n].Take(_trial[n], row => better[row]);
            Take(_trial, _best);
            Tell();
        }

        double Joint(RowBlock[] blocks, int row)
        {
            var sum = 0.0;
            for (var k = 0; k < blocks.Length; k++)
                sum += importance[row * blocks.Length + k] * blocks[k].Objective[row];
            return sum;
        }

        void Tell()
        {
            for (var row = 0; trace != null && row < count; row++)
                trace(first + row, Joint(_best, row));
        }
    }

    private static void Take(RowBlock[] to, RowBlock[] from)
    {
        for (var n = 0; n < to.Length; n++)
            to[n].Take(from[n]);
    }

    /// <summary>λ_n of every row, one over the error that n bases have at the start: all n count alike. [rows, N]</summary>
    private double[] Weigh(int count)
    {
        var importance = new double[count * _best.Length];
        for (var row = 0; row < count; row++)
        {
            // Where n bases fit exactly there is nothing to gain for them; any weight will do.
            var least = 1e-12 * Math.Max(_best[0].Objective[row], double.Epsilon * 1e15);
            for (var k = 0; k < _best.Length; k++)
                importance[row * _best.Length + k] = 1 / Math.Max(_best[k].Objective[row], least);
        }
        return importance;
    }
}
