using System.Threading.Channels;
using Qbb.Models.Generation;

namespace Qbb.Inference.Serving;

/// <summary>What a server takes on.</summary>
public sealed record ServingLimits
{
    /// <summary>Most tokens of a prompt and its continuation.</summary>
    public required int Context { get; init; }

    /// <summary>Sequences that are decoded at the same time.</summary>
    public int Parallel { get; init; } = 8;

    /// <summary>Prompts that may wait for them.</summary>
    public int Queue { get; init; } = 64;

    /// <summary>Tokens of ended sequences whose keys and values are kept for prompts that begin alike.</summary>
    public int CacheTokens { get; init; } = 8192;

    /// <summary>Prompt tokens of a step: running streams wait for no more than these.</summary>
    public int PrefillChunk { get; init; } = 128;

    /// <summary>Bytes of a request.</summary>
    public long Body { get; init; } = 8 << 20;
}

/// <summary>A prompt to continue.</summary>
public sealed record ServingRequest
{
    /// <summary>At least one token.</summary>
    public required int[] Prompt { get; init; }

    /// <summary>Continuations, each by a seed of its own.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>How tokens are chosen; at most so many that prompt and continuation fit the context.</summary>
    public required GenerationOptions Options { get; init; }

    /// <summary>Of the first continuation; the next has the next.</summary>
    public ulong Seed { get; init; }

    /// <summary>Texts that end a continuation and are not part of it.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Taken from a token's logit for every time that the continuation has it.</summary>
    public double FrequencyPenalty { get; init; }

    /// <summary>Taken from a token's logit once, if the continuation has it.</summary>
    public double PresencePenalty { get; init; }

    /// <summary>Added to the logits of tokens.</summary>
    public IReadOnlyDictionary<int, double> Bias { get; init; } = new Dictionary<int, double>();

    /// <summary>Whether it may get the smaller model while others wait, where the server has one.</summary>
    public bool MayDegrade { get; init; } = true;

    /// <summary>Likeliest tokens whose log-probabilities are told beside the chosen one's; null to tell none.</summary>
    public int? Logprobs { get; init; }
}

/// <summary>Why a continuation ended.</summary>
public enum FinishReason
{
    /// <summary>A stop token or a stop string.</summary>
    Stop,

    /// <summary>The limit on tokens.</summary>
    Length,
}

/// <summary>What a step added to a continuation.</summary>
/// <param name="Choice">Which, counted through all prompts of a submission.</param>
/// <param name="Text">Whole characters; may be empty.</param>
/// <param name="Tokens">Those whose text begins in what was told so far, where log-probabilities are wanted.</param>
/// <param name="Finish">Null while it continues.</param>
public sealed record ServedPart(int Choice, string Text, IReadOnlyList<TokenLogprobs> Tokens, FinishReason? Finish);

/// <summary>The continuations of submitted prompts as they grow.</summary>
public sealed class Submission
{
    private readonly Channel<ServedPart> _parts = Channel.CreateUnbounded<ServedPart>();
    private int _open;
    private int _cached;
    private int _generated;

    internal Submission(IReadOnlyList<ServingRequest> requests, long submitted, CancellationToken cancellation)
    {
        (Cancellation, Submitted) = (cancellation, submitted);
        PromptTokens = requests.Sum(request => request.Prompt.Length);
        _open = requests.Sum(request => request.Choices);
    }

    /// <summary>The parts in order; a failure ends them with its exception.</summary>
    public ChannelReader<ServedPart> Parts => _parts.Reader;

    public int PromptTokens { get; }

    /// <summary>Of the prompts' tokens those that earlier sequences had calculated.</summary>
    public int CachedTokens => _cached;

    /// <summary>New tokens so far, stop tokens included.</summary>
    public int GeneratedTokens => _generated;

    /// <summary>Whether the smaller model answers; known with the first part.</summary>
    public bool IsDegraded { get; internal set; }

    internal bool HasStarted { get; set; }

    internal CancellationToken Cancellation { get; }

    /// <summary>The clock's time stamp.</summary>
    internal long Submitted { get; }

    internal void Reused(int tokens) => _cached += tokens;

    internal void Grown() => Interlocked.Increment(ref _generated);

    internal void Add(ServedPart part)
    {
        _parts.Writer.TryWrite(part);
        if (part.Finish is not null && Interlocked.Decrement(ref _open) == 0)
            _parts.Writer.TryComplete();
    }

    internal void Fail(Exception error) => _parts.Writer.TryComplete(error);
}

/// <summary>The server has more to do than it takes on.</summary>
/// <param name="retryAfter">When it is worth trying again.</param>
public sealed class QueueFullException(TimeSpan retryAfter) : Exception("the server's queue is full")
{
    public TimeSpan RetryAfter => retryAfter;
}

/// <summary>The server is about to end.</summary>
public sealed class ServerStoppingException() : Exception("the server is stopping");
