using System.Runtime.InteropServices;
using Qbb.Inference.Decoding;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using IDecoder = Qbb.Inference.Decoding.IDecoder;

namespace Qbb.Inference.Serving;

/// <summary>A submitted prompt with its continuations, the first of which calculates the prompt for all.</summary>
internal sealed class Job
{
    public Job(ServingRequest request, Submission submission, int firstChoice, Tokenizer tokenizer)
    {
        (Request, Submission) = (request, submission);
        Choices = [.. Enumerable.Range(0, request.Choices).Select(k => new Choice(this, firstChoice + k, request.Seed + (ulong)k, tokenizer))];
    }

    public ServingRequest Request { get; }

    public Submission Submission { get; }

    public IReadOnlyList<Choice> Choices { get; }

    /// <summary>Where it is decoded; null while it waits.</summary>
    public Lane? Lane { get; set; }

    public bool IsCancelled => Submission.Cancellation.IsCancellationRequested;
}

/// <summary>A decoder and what can be continued with it.</summary>
internal sealed class Lane(IDecoder decoder, int cacheTokens)
{
    public IDecoder Decoder => decoder;

    public PrefixCache Cache { get; } = new(cacheTokens);
}

/// <summary>One continuation of a prompt. Between two steps of the decoder it may be worked on beside others.</summary>
internal sealed class Choice
{
    private readonly int _index;
    private readonly TokenDraw _draw;
    private readonly StreamedText _text;
    private readonly List<int> _new = [];
    private readonly List<TokenLogprobs> _untold = [];
    private string _part = "";

    public Choice(Job job, int index, ulong seed, Tokenizer tokenizer)
    {
        (Job, _index, _draw) = (job, index, new(job.Request, seed));
        _text = new(tokenizer, job.Request.Prompt, job.Request.Stops, part => _part += part);
    }

    public Job Job { get; }

    /// <summary>Null before its prompt is calculated, and after the end.</summary>
    public IDecoderSequence? Sequence { get; set; }

    public bool HasEnded { get; private set; }

    public bool IsFirstToken => _new.Count == 1;

    private int[] Prompt => Job.Request.Prompt;

    /// <summary>Whether its job has no sequence yet.</summary>
    public bool IsNew => !HasEnded && Sequence is null && Job.Choices[0] == this;

    /// <summary>Whether tokens of the prompt are to be calculated before the first new one.</summary>
    public bool IsPrefilling => _new.Count == 0;

    /// <summary>The tokens of the decoder's next step.</summary>
    /// <param name="chunk">Prompts are cut at its multiples, whatever else the step has: the results do not depend on that.</param>
    public ReadOnlyMemory<int> Next(int chunk)
    {
        var from = Sequence!.Length;
        return IsPrefilling ? Prompt.AsMemory(from, Math.Min(chunk - from % chunk, Prompt.Length - from)) : new[] { _new[^1] };
    }

    /// <summary>How many tokens of a prompt its sequence begins with.</summary>
    public int Common(ReadOnlySpan<int> prompt)
    {
        if (Sequence is not { Length: var length })
            return 0;
        var common = prompt.CommonPrefixLength(Prompt.AsSpan(0, Math.Min(length, Prompt.Length)));
        return common < Prompt.Length ? common : common + prompt[common..].CommonPrefixLength(CollectionsMarshal.AsSpan(_new)[..(length - common)]);
    }

    /// <summary>Draws the next token.</summary>
    /// <param name="logits">One per token of the vocabulary.</param>
    /// <exception cref="InvalidInputException">The logits are not numbers.</exception>
    public void Grow(ReadOnlySpan<float> logits)
    {
        var (request, start) = (Job.Request, _text.Length);
        var token = _draw.Next(logits);
        _new.Add(token);
        Job.Submission.Grown();
        var stops = request.Options.StopIds.Contains(token);
        if (!stops)
        {
            if (request.Logprobs is { } count)
                _untold.Add(TokenLogprobs.Of(logits, token, count, start));
            stops = _text.Add(token);
        }
        HasEnded = stops || _new.Count == request.Options.MaxTokens;
        if (HasEnded)
            _text.End();
        // A token is told with its text; those of a stop string have none.
        var told = _untold.TakeWhile(known => known.Start < _text.Written || HasEnded && !stops).ToList();
        _untold.RemoveRange(0, told.Count);
        if (HasEnded || _part.Length > 0 || told.Count > 0)
            Job.Submission.Add(new(_index, _part, told, !HasEnded ? null : stops ? FinishReason.Stop : FinishReason.Length));
        _part = "";
    }

    /// <summary>Gives its sequence and the tokens in it away.</summary>
    public (int[] Tokens, IDecoderSequence Sequence)? Leave()
    {
        HasEnded = true;
        if (Sequence is not { } sequence)
            return null;
        Sequence = null;
        var length = sequence.Length;
        return ([.. Prompt.AsSpan(0, Math.Min(length, Prompt.Length)), .. CollectionsMarshal.AsSpan(_new)[..Math.Max(0, length - Prompt.Length)]], sequence);
    }
}
