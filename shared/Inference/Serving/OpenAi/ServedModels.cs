using Microsoft.Extensions.Logging;
using IDecoder = Qbb.Inference.Decoding.IDecoder;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>
/// The model that a server answers with. Another may take its place while the server runs: every request ends with the model that it began with, and
/// a model is released when its last request has ended.
/// </summary>
public sealed class ServedModels(ServingMeter meter, TimeProvider clock, ILogger<Scheduler> log) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<Served> _all = [];
    private Served? _current;
    private TimeSpan? _grace;
    private bool _isDisposed;

    /// <summary>Answers new requests with this model.</summary>
    /// <param name="model">What requests are read with.</param>
    /// <param name="decoder">Nobody else may use it.</param>
    /// <param name="degraded">The model with its first <see cref="ServedModel.DegradedBases"/> alone, for requests that start while others wait; null for none.</param>
    /// <param name="owner">What to dispose with the model; null where the decoders stay the caller's.</param>
    public void Serve(ServedModel model, IDecoder decoder, IDecoder? degraded = null, IDisposable? owner = null)
    {
        Served? last;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            last = _current;
            _current = new(model, new(decoder, model.Tokenizer, model.Limits, meter, clock, log, degraded), owner);
            _all.Add(_current);
            if (_grace is { } grace)
                _current.Scheduler.Drain(grace);
        }
        if (last is not null)
            Release(last);
    }

    /// <summary>Whether new requests are refused, since the server is about to end.</summary>
    internal bool IsDraining => _current!.Scheduler.IsDraining;

    /// <summary>What the model's name and limits are now.</summary>
    internal ServedModel Current => _current!.Model;

    /// <summary>The model for one request, kept until the lease is disposed.</summary>
    internal Lease Take()
    {
        lock (_gate)
        {
            _current!.Users++;
            return new(this, _current);
        }
    }

    /// <summary>Refuses new prompts; running ones may end by themselves within a time.</summary>
    internal void Drain(TimeSpan grace)
    {
        lock (_gate)
        {
            _grace = grace;
            _all.ForEach(served => served.Scheduler.Drain(grace));
        }
    }

    public void Dispose()
    {
        List<Served> all;
        lock (_gate)
        {
            _isDisposed = true;
            all = [.. _all];
            _all.Clear();
        }
        all.ForEach(served => served.Dispose());
    }

    private void Release(Served served)
    {
        lock (_gate)
        {
            if (--served.Users > 0 || !_all.Remove(served))
                return;
        }
        // It waits for the thread that decodes.
        _ = Task.Run(served.Dispose);
    }

    internal readonly struct Lease(ServedModels models, Served served) : IDisposable
    {
        public ServedModel Model => served.Model;

        public Scheduler Scheduler => served.Scheduler;

        public void Dispose() => models.Release(served);
    }

    internal sealed class Served(ServedModel model, Scheduler scheduler, IDisposable? owner) : IDisposable
    {
        public ServedModel Model => model;

        public Scheduler Scheduler => scheduler;

        /// <summary>Requests, and the server while this is its current model.</summary>
        public int Users { get; set; } = 1;

        public void Dispose()
        {
            scheduler.Dispose();
            owner?.Dispose();
        }
    }
}
