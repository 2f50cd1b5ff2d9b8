using System.Diagnostics;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Trains a student's scales, and its signs where the recipe has a rate for them, against its teacher. Embeddings, norms and head stay. What a step does is a function of the recipe, the
/// data and the state before it, so a training that was killed resumes from its checkpoint and ends with the same bytes on the CPU.
/// </summary>
internal sealed class DistillationTrainer : IDisposable
{
    private const double LoweredRate = 0.1;
    private readonly Transformer _student;
    private readonly ITokenSequences _data;
    private readonly DistillationRecipe _recipe;
    private readonly DistillationOptions _options;
    private readonly TrainedScales _scales;
    private readonly TrainedSigns? _signs;
    private readonly TeacherStates _states;
    private readonly TrainingPass _pass;
    private readonly DataOrder _order;
    private readonly SwapSchedule _swap;
    private readonly HeldOutScorer _scorer;
    private readonly Stopwatch _stepping = new();
    private TrainedValues _best = TrainedValues.None;
    private DistillationState? _paused;
    private long _tokens;

    /// <param name="student">With binary layers; becomes trainable.</param>
    /// <param name="teacher">Of the same shape, device and type.</param>
    /// <param name="data">What to train on and to hold out.</param>
    /// <param name="recipe">Choices that the result depends on.</param>
    /// <param name="options">The others.</param>
    /// <exception cref="InvalidInputException">The data are too few, or the student has no scales.</exception>
    public DistillationTrainer(
        Transformer student, Transformer teacher, ITokenSequences data, DistillationRecipe recipe, DistillationOptions options)
    {
        (_student, _data, _recipe, _options) = (student, data, recipe.Resolve(), options);
        _order = new DataOrder(data.Count, recipe.HeldOut, recipe.Seed);
        _scales = new TrainedScales(student);
        if (_scales.All.Count == 0)
            throw new InvalidInputException("the student has no binary layers in its blocks, so there are no scales to train");
        _signs = _recipe.SignRate is null ? null : new TrainedSigns(student, teacher);
        _states = new TeacherStates(teacher, options.CacheBytes);
        _pass = new TrainingPass(student, teacher, _scales, _signs, _states, _recipe, options);
        _swap = new SwapSchedule(_recipe);
        _scorer = new HeldOutScorer(student, teacher, _states, data, _order.HeldOut, _recipe.Batch);
    }

    /// <summary>Whether steps are replays of a graph.</summary>
    internal bool IsCaptured => _pass.IsCaptured;

    /// <summary>Sequences that decide.</summary>
    public int HeldOutCount => _order.HeldOut.Count;

    /// <summary>Sequences that are trained on.</summary>
    public int TrainingCount => _order.TrainingCount;

    /// <summary>Trains, from the checkpoint if there is one.</summary>
    /// <param name="checkpoint">Where the training is kept on disk.</param>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Stops after the step at hand, which is saved.</param>
    /// <exception cref="DistillationRefusedException">The loss was not finite twice.</exception>
    public TrainingResult Run(string checkpoint, IProgress<DistillProgress>? progress = null, CancellationToken cancellation = default) =>
        Run(checkpoint, _ => false, progress, cancellation).Result!;

    /// <summary>
    /// Trains from the checkpoint until the end, or until a pause, at which the checkpoint is saved. After a pause it resumes from where it is,
    /// without reading the checkpoint.
    /// </summary>
    /// <param name="checkpoint">Where the training is kept on disk.</param>
    /// <param name="pause">Asked after every step, with the steps of this run.</param>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Stops after the step at hand, which is saved.</param>
    /// <returns>The state of the training, and its result after the last step.</returns>
    /// <exception cref="DistillationRefusedException">The loss was not finite twice.</exception>
    public (DistillationState State, TrainingResult? Result) Run(
        string checkpoint, Func<int, bool> pause, IProgress<DistillProgress>? progress = null, CancellationToken cancellation = default)
    {
        var watch = Stopwatch.StartNew();
        var state = _paused ?? Restore(checkpoint) ?? Start(checkpoint, cancellation);
        _paused = null;
        var resumed = state.Step;
        while (!IsOver(state))
        {
            if (cancellation.IsCancellationRequested)
            {
                Save(checkpoint, state);
                cancellation.ThrowIfCancellationRequested();
            }
            var rate = RateOf(state);
            var loss = Step(state.Step, rate);
            if (!double.IsFinite(loss))
            {
                state = GoBack(checkpoint, state);
                continue;
            }
            state = After(state, loss);
            if (state.Step % _recipe.EvaluateEvery == 0 || state.Step == _recipe.Steps)
                state = Evaluate(state, rate);
            if (state.Step % _options.CheckpointEvery == 0 || IsOver(state))
                Save(checkpoint, state);
            var left = watch.Elapsed / Math.Max(1, state.Step - resumed) * (_recipe.Steps - state.Step);
            progress?.Report(new DistillProgress(
                state.Step, _recipe.Steps, loss, state.Curve[^1].HeldOut, state.Curve[0].HeldOut,
                _tokens / _stepping.Elapsed.TotalSeconds, left));
            if (!IsOver(state) && pause(state.Step - resumed))
            {
                Save(checkpoint, state);
                _paused = state;
                return (state, null);
            }
        }
        var scales = _scales.All.Zip(_best.Scales).ToDictionary(pair => pair.First.Name, pair => pair.Second, StringComparer.Ordinal);
        var planes = (_signs?.All ?? []).Zip(_best.Planes).ToDictionary(pair => pair.First.Name, pair => pair.Second, StringComparer.Ordinal);
        return (state, new TrainingResult(scales, planes, state.Curve[0].HeldOut, state.Best, state.Curve, state.LoweredAt, resumed));
    }

    /// <summary>
    /// Goes on after a pause in memory alone, while the checkpoint is on its way elsewhere. It ends before a step that looks at the held-out sequences or
    /// saves, and where a loss is not finite: these are for the next run.
    /// </summary>
    /// <param name="isOver">Asked before every step.</param>
    public void RunAhead(Func<bool> isOver)
    {
        while (_paused is { } state && IsPlain(state.Step + 1) && !isOver())
        {
            var loss = Step(state.Step, RateOf(state));
            if (!double.IsFinite(loss))
                return;
            _paused = After(state, loss);
        }
    }

    private double RateOf(DistillationState state) => _recipe.RateAt(state.Step) * (state.LoweredAt is null ? 1 : LoweredRate);

    private static DistillationState After(DistillationState state, double loss) =>
        state with { Step = state.Step + 1, LossSum = state.LossSum + loss, LossCount = state.LossCount + 1 };

    private bool IsPlain(int step) => step % _recipe.EvaluateEvery != 0 && step % _options.CheckpointEvery != 0 && step < _recipe.Steps;

    public void Dispose()
    {
        _pass.Dispose();
        _scales.Dispose();
        _signs?.Dispose();
        _states.Dispose();
    }

    /// <summary>After the last step, or as many looks without a better one as the recipe has patience for.</summary>
    private bool IsOver(DistillationState state) => state.Step >= _recipe.Steps
        || _recipe.Patience is { } patience && state.Curve.Reverse().TakeWhile(point => point.Step > state.Best.Step).Count() >= patience;

    private DistillationState Start(string checkpoint, CancellationToken cancellation)
    {
        var start = new CurvePoint(0, null, 0, Score(cancellation));
        _best = Values();
        var state = new DistillationState(0, start, [start]);
        Save(checkpoint, state);
        return state;
    }

    private void Save(string checkpoint, DistillationState state) => DistillationCheckpoint.Save(checkpoint, _scales, _signs, state, _best);

    private TrainedValues Values() => new(_scales.Halves(), _signs?.Planes() ?? []);

    private DistillationState? Restore(string checkpoint)
    {
        if (DistillationCheckpoint.TryRestore(checkpoint, _scales, _signs) is not { } found)
            return null;
        _best = found.Best;
        return found.State;
    }

    /// <summary>One step of the optimizer; its loss, or NaN where loss or gradient were not finite and nothing was moved.</summary>
    internal double Step(int step, double rate)
    {
        _stepping.Start();
        using var scope = torch.NewDisposeScope();
        var first = (long)step * _recipe.Accumulate * _recipe.Batch;
        var passes = Enumerable.Range(0, _recipe.Accumulate).ToArray();
        var batches = Array.ConvertAll(passes, pass => new TokenBatch(_data, _order.Take(first + pass * _recipe.Batch, _recipe.Batch)));
        using var gradients = _pass.Run(batches, Array.ConvertAll(passes, pass => _swap.Draw(step, pass, _student.Blocks.Count)));
        var finite = double.IsFinite(gradients.Loss) && double.IsFinite(gradients.Norm);
        if (finite)
        {
            _scales.Step(rate, gradients.Norm, _recipe.Clip);
            _signs?.Step(_recipe.SignRate!.Value * rate / _recipe.LearningRate, gradients.Dense);
        }
        var positions = batches.Sum(batch => batch.Positions);
        _tokens += positions;
        TokenMetrics.Trained(positions);
        _stepping.Stop();
        return finite ? gradients.Loss : double.NaN;
    }

    private DistillationState Evaluate(DistillationState state, double rate)
    {
        _scales.Round();
        var score = Score(CancellationToken.None);
        var point = new CurvePoint(state.Step, state.LossSum / state.LossCount, rate, score);
        // A score that is not a number is not better than any.
        var better = score.For(_recipe.Loss) < state.Best.HeldOut.For(_recipe.Loss);
        if (better)
            _best = Values();
        _scales.Apply();
        return state with { Best = better ? point : state.Best, Curve = [.. state.Curve, point], LossSum = 0, LossCount = 0 };
    }

    private HeldOutScore Score(CancellationToken cancellation) => _scorer.Run(cancellation);

    /// <summary>The last checkpoint, with a lower rate from there on; the second time there is no help.</summary>
    private DistillationState GoBack(string checkpoint, DistillationState state)
    {
        if (state.LoweredAt is { } before)
            throw new DistillationRefusedException(
                $"the loss is not finite at step {state.Step + 1}, and was not at step {before + 1}, after which the rate was lowered to "
                + $"{_recipe.LearningRate * LoweredRate:g3}",
                "start again with an --lr well below that, or with --dtype fp32", _recipe.Steps, state.Curve[0].HeldOut.Kl);
        var good = Restore(checkpoint)
            ?? throw new InvalidInputException($"{checkpoint}: the checkpoint to go back to is gone or damaged", "start again");
        good = good with { LoweredAt = state.Step };
        Save(checkpoint, good);
        return good;
    }
}
