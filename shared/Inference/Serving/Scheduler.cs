using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Qbb.Inference.Decoding;
using Qbb.Models.Tokenizers;
using IDecoder = Qbb.Inference.Decoding.IDecoder;

namespace Qbb.Inference.Serving;

/// <summary>
/// Continuous batching: one thread owns the decoder and calculates one step of all running sequences after another. Prompts join and ended sequences
/// leave between two steps; long prompts are calculated in chunks, so that running streams do not stall.
/// </summary>
public sealed class Scheduler : IDisposable
{
    private readonly Lane _full;
    private readonly Lane? _degraded;
    private readonly Tokenizer _tokenizer;
    private readonly ServingMeter _meter;
    private readonly ServingLoad _load;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Thread _thread;
    private readonly object _gate = new();

    // Under the gate.
    private readonly LinkedList<Job> _queue = [];
    private volatile bool _isDraining;
    private bool _isEnded;
    private double _jobSeconds = 1;
    private ITimer? _grace;

    // The thread's own.
    private readonly List<Choice> _running = [];
    private float[] _logits = [];

    /// <param name="decoder">Stays the caller's; until the scheduler is disposed nobody else may use it.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="limits">What to take on.</param>
    /// <param name="meter">Told of what happens.</param>
    /// <param name="clock">For metrics.</param>
    /// <param name="log">For failures that are not the request's.</param>
    /// <param name="degraded">A smaller model for prompts that start while others wait, on the same terms; null for none.</param>
    public Scheduler(IDecoder decoder, Tokenizer tokenizer, ServingLimits limits, ServingMeter meter, TimeProvider clock, ILogger<Scheduler> log, IDecoder? degraded = null)
    {
        (_tokenizer, Limits, _meter, _load, _clock, _log) = (tokenizer, limits, meter, meter.Begin(), clock, log);
        _full = new(decoder, limits.CacheTokens);
        _degraded = degraded is null ? null : new(degraded, limits.CacheTokens);
        _thread = new(Run) { Name = "decoding", IsBackground = true };
        _thread.Start();
    }

    public ServingLimits Limits { get; }

    private IEnumerable<Lane> Lanes => _degraded is null ? [_full] : [_full, _degraded];

    /// <summary>Whether new prompts are refused, since the server is about to end.</summary>
    public bool IsDraining => _isDraining;

    /// <summary>Queues prompts.</summary>
    /// <param name="requests">Checked against <see cref="Limits"/>: each fits the context, and has no more choices than run in parallel.</param>
    /// <param name="cancellation">Drops them before the next step.</param>
    /// <exception cref="QueueFullException">They do not fit the queue.</exception>
    /// <exception cref="ServerStoppingException">The server is about to end.</exception>
    public Submission Submit(IReadOnlyList<ServingRequest> requests, CancellationToken cancellation)
    {
        var submission = new Submission(requests, _clock.GetTimestamp(), cancellation);
        var jobs = new List<Job>();
        foreach (var request in requests)
            jobs.Add(new(request, submission, jobs.Sum(job => job.Choices.Count), _tokenizer));
        lock (_gate)
        {
            if (_isDraining)
                throw new ServerStoppingException();
            DropCancelled();
            // What can start at once does not wait.
            var free = Math.Max(0, Limits.Parallel - _load.Active);
            if (_queue.Count + jobs.Count > Limits.Queue + free)
            {
                _meter.Refused();
                throw new QueueFullException(TimeSpan.FromSeconds(Math.Clamp(_jobSeconds * _queue.Count / Limits.Parallel, 1, 60)));
            }
            foreach (var job in jobs)
                _queue.AddLast(job);
            _load.Queued = _queue.Count;
            Monitor.Pulse(_gate);
        }
        return submission;
    }

    /// <summary>Refuses new prompts and those that wait; running ones may end by themselves within a time.</summary>
    public void Drain(TimeSpan grace)
    {
        lock (_gate)
        {
            _isDraining = true;
            foreach (var job in _queue)
                job.Submission.Fail(new ServerStoppingException());
            _queue.Clear();
            _load.Queued = 0;
        }
        _grace ??= _clock.CreateTimer(_ => End(), null, grace, Timeout.InfiniteTimeSpan);
    }

    public void Dispose()
    {
        End();
        _thread.Join();
        _grace?.Dispose();
        _load.Dispose();
    }

    private void End()
    {
        lock (_gate)
        {
            _isEnded = _isDraining = true;
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        while (Admit())
        {
            foreach (var choice in _running.Where(choice => choice.Job.IsCancelled))
            {
                choice.Job.Submission.Fail(new OperationCanceledException(choice.Job.Submission.Cancellation));
                Leave(choice);
            }
            Retire();
            foreach (var lane in Lanes)
                Step(lane, [.. _running.Where(choice => choice.Job.Lane == lane)]);
            Retire();
        }
        foreach (var choice in _running)
        {
            choice.Job.Submission.Fail(new ServerStoppingException());
            choice.Leave()?.Sequence.Dispose();
        }
        _running.Clear();
        Retire();
        foreach (var lane in Lanes)
            lane.Cache.Clear();
    }

    /// <summary>Lets waiting prompts join as far as there is room, in order; waits where there is nothing to do. False at the end.</summary>
    private bool Admit()
    {
        lock (_gate)
        {
            while (!_isEnded && _running.Count == 0 && _queue.Count == 0)
                Monitor.Wait(_gate);
            DropCancelled();
            var before = _running.Count;
            while (!_isEnded && _queue.First?.Value is { } job && _running.Count + job.Choices.Count <= Limits.Parallel)
            {
                _queue.RemoveFirst();
                _running.AddRange(job.Choices);
            }
            foreach (var choice in _running.Skip(before))
                choice.Job.Lane ??= LaneOf(choice.Job);
            (_load.Active, _load.Queued) = (_running.Count, _queue.Count);
            return !_isEnded;
        }
    }

    /// <summary>The smaller model where others still wait; the prompts of one submission stay together.</summary>
    private Lane LaneOf(Job job)
    {
        if (_degraded is not null && !job.Submission.HasStarted)
            job.Submission.IsDegraded = job.Request.MayDegrade && _queue.Count > 0;
        job.Submission.HasStarted = true;
        if (!job.Submission.IsDegraded)
            return _full;
        _meter.Degraded();
        return _degraded!;
    }

    private void DropCancelled()
    {
        for (var (node, next) = (_queue.First, _queue.First?.Next); node is not null; (node, next) = (next, next?.Next))
        {
            if (!node.Value.IsCancelled)
                continue;
            _queue.Remove(node);
            node.Value.Submission.Fail(new OperationCanceledException(node.Value.Submission.Cancellation));
        }
    }

    /// <summary>Begins a prompt's sequence where the longest known beginning of it ends. The last token is left to calculate: it predicts the next.</summary>
    private void Start(Job job)
    {
        var known = job.Request.Prompt.AsSpan(..^1);
        var lane = job.Lane!;
        var (kept, running) = (lane.Cache.Longest(known), (Choice: (Choice?)null, Common: 0));
        foreach (var choice in _running.Where(choice => choice.Job.Lane == lane))
        {
            if (choice.Common(known) is var common && common > running.Common)
                running = (choice, common);
        }
        job.Choices[0].Sequence = Math.Max(kept, running.Common) < PrefixCache.Least ? lane.Decoder.Begin()
            : kept >= running.Common ? lane.Cache.Take(known)
            : PrefixCache.First(running.Choice!.Sequence!, running.Common);
        var reused = job.Choices[0].Sequence!.Length;
        job.Submission.Reused(reused);
        _meter.Prompt(job.Request.Prompt.Length, reused);
    }

    private void Step(Lane lane, IReadOnlyList<Choice> running)
    {
        if (running.Count == 0)
            return;
        var (inputs, stepped) = (new List<DecoderInput>(), new List<Choice>());
        var (vocabulary, left) = (lane.Decoder.Config.VocabularySize, Limits.PrefillChunk);
        try
        {
            foreach (var choice in running.Where(choice => choice.IsNew))
            {
                stepped.Add(choice);
                Start(choice.Job);
            }
            stepped.Clear();
            foreach (var choice in running.Where(choice => choice is { Sequence: not null, IsPrefilling: false }))
                Add(choice, choice.Next(Limits.PrefillChunk));
            foreach (var choice in running.Where(choice => choice is { Sequence: not null, IsPrefilling: true }))
            {
                var tokens = choice.Next(Limits.PrefillChunk);
                if (tokens.Length > left)
                    break;
                left -= tokens.Length;
                Add(choice, tokens);
            }
            if (_logits.Length < inputs.Count * vocabulary)
                _logits = new float[inputs.Count * vocabulary];
            lane.Decoder.Step(inputs, _logits.AsSpan(0, inputs.Count * vocabulary));
            Grow([.. stepped.Index().SelectMany(row => Ready(row.Item).Select(choice => (choice, row.Index * vocabulary)))], vocabulary);
        }
        catch (Exception error)
        {
            // Nobody knows what the step has left behind in sequences and in pages that they share.
            Fail(stepped, error);
            lane.Cache.Clear();
        }

        void Add(Choice choice, ReadOnlyMemory<int> tokens)
        {
            inputs.Add(new(choice.Sequence!, tokens));
            stepped.Add(choice);
        }
    }

    /// <summary>The continuations for which a sequence's logits are: its own, after a whole prompt all of the job, before that none.</summary>
    private static IEnumerable<Choice> Ready(Choice choice)
    {
        if (!choice.IsPrefilling)
            return [choice];
        if (choice.Sequence!.Length < choice.Job.Request.Prompt.Length)
            return [];
        foreach (var other in choice.Job.Choices.Skip(1))
            other.Sequence = choice.Sequence.Fork();
        return choice.Job.Choices;
    }

    private void Grow((Choice Choice, int Start)[] ready, int vocabulary)
    {
        var failed = new ConcurrentQueue<(Choice, Exception)>();
        Parallel.ForEach(ready, row =>
        {
            try
            {
                row.Choice.Grow(_logits.AsSpan(row.Start, vocabulary));
            }
            catch (Exception error)
            {
                failed.Enqueue((row.Choice, error));
            }
        });
        foreach (var (choice, error) in failed)
            Fail([choice], error);
        _meter.Generated(ready.Length);
        foreach (var (choice, _) in ready)
        {
            if (choice.IsFirstToken)
                _meter.FirstToken(_clock.GetElapsedTime(choice.Job.Submission.Submitted));
            if (choice.HasEnded)
                Leave(choice);
        }
    }

    /// <summary>Ends the submissions that some sequences belong to.</summary>
    private void Fail(IEnumerable<Choice> stepped, Exception error)
    {
        if (error is not InvalidInputException)
            _log.LogError(error, "a step of the decoder failed");
        var submissions = stepped.Select(choice => choice.Job.Submission).ToHashSet();
        foreach (var choice in _running.Where(choice => submissions.Contains(choice.Job.Submission)))
        {
            choice.Job.Submission.Fail(error);
            choice.Leave()?.Sequence.Dispose();
        }
    }

    /// <summary>Keeps an ended sequence for prompts that begin alike.</summary>
    private void Leave(Choice choice)
    {
        if (choice.Leave() is not var (tokens, sequence))
            return;
        choice.Job.Lane!.Cache.Keep(tokens, sequence);
        _load.CachedTokens = Lanes.Sum(lane => lane.Cache.Tokens);
    }

    private void Retire()
    {
        var ended = _running.Where(choice => choice.HasEnded).Select(choice => choice.Job).Distinct().Where(job => job.Choices.All(choice => choice.HasEnded)).ToList();
        _running.RemoveAll(choice => choice.HasEnded);
        _load.Active = _running.Count;
        if (ended.Count == 0)
            return;
        lock (_gate)
        {
            foreach (var job in ended)
                _jobSeconds += 0.1 * (_clock.GetElapsedTime(job.Submission.Submitted).TotalSeconds - _jobSeconds);
        }
    }
}
