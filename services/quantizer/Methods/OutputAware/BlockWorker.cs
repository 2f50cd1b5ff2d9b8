using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>Takes blocks of rows of one layer through steps 2 to 5; one per thread.</summary>
internal sealed class BlockWorker
{
    private readonly LayerWeights _weights;
    private readonly Curvature _curvature;
    private readonly LayerState _layer;
    private readonly RowBlock _best;
    private readonly RowBlock _trial;
    private readonly ColumnFeedback? _feedback;
    private readonly JointScales _scales;
    private readonly CoordinateDescent _descent;

    /// <param name="weights">The layer.</param>
    /// <param name="curvature">Of its inputs.</param>
    /// <param name="layer">Signs and scales to start from; changed row by row.</param>
    /// <param name="capacity">The most rows of a block.</param>
    /// <param name="withFeedback">False: without step 2, which gives all columns new signs.</param>
    public BlockWorker(LayerWeights weights, Curvature curvature, LayerState layer, int capacity, bool withFeedback = true)
    {
        (_weights, _curvature, _layer) = (weights, curvature, layer);
        _best = layer.NewBlock(capacity);
        _trial = layer.NewBlock(capacity);
        _feedback = withFeedback ? new ColumnFeedback(curvature, capacity) : null;
        _scales = new JointScales(curvature.Matrix, _best, capacity);
        _descent = new CoordinateDescent(curvature.Matrix, weights.InFeatures, capacity);
    }

    /// <summary>Improves some rows.</summary>
    /// <param name="first">The first of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="objectives">Gets, for every row, eHeᵀ at the start and after each step.</param>
    public void Run(int first, int count, double[][] objectives)
    {
        var w = Widen(_weights, first, count);
        _layer.Read(first, count, _best);
        _best.Measure(w, _curvature.Matrix);
        for (var row = 0; row < count; row++)
            objectives[first + row] = new double[1 + 2 * OutputAwareMethod.Rounds];
        var step = 0;
        Record();

        _trial.Take(_best);
        if (_feedback is not null)
        {
            _feedback.Run(w, _trial);
            _trial.Measure(w, _curvature.Matrix);
        }
        Accept();
        for (var round = 1; ; round++)
        {
            _scales.Run(_trial);
            _trial.Measure(w, _curvature.Matrix);
            Accept();
            if (round == OutputAwareMethod.Rounds)
                break;
            _descent.Run(w, _trial);
            Accept();
        }
        _layer.Write(first, _best);

        void Accept()
        {
            _best.TakeBetter(_trial);
            Record();
            _trial.Take(_best);
        }

        void Record()
        {
            for (var row = 0; row < count; row++)
                objectives[first + row][step] = _best.Objective[row];
            step++;
        }
    }

    /// <summary>Rows of a weight in double, [count, in].</summary>
    public static double[] Widen(LayerWeights weights, int first, int count)
    {
        var values = new double[count * weights.InFeatures];
        var source = weights.Values.Span.Slice(first * weights.InFeatures, values.Length);
        for (var k = 0; k < values.Length; k++)
            values[k] = source[k];
        return values;
    }
}
