using Qbb.Models.Decoder;

namespace Qbb.Models.Generation;

/// <summary>
/// Continues prompts of any lengths in one batch, with a cache. Each sequence draws from its own seed, so that its tokens do not depend on
/// what else is in the batch (up to the rounding of matrix products of other shapes).
/// </summary>
public sealed class TokenGenerator(Transformer model)
{
    /// <summary>Continues prompts.</summary>
    /// <param name="prompts">At least one token each.</param>
    /// <param name="seeds">One per prompt; not used when the temperature is 0.</param>
    /// <param name="options">How to choose tokens and when to end.</param>
    /// <param name="onToken">Called with the prompt's index and each new token as it comes.</param>
    /// <param name="cancellation">Ends the work between two tokens.</param>
    /// <returns>One per prompt, in order.</returns>
    /// <exception cref="InvalidInputException">An option is out of range, a prompt is empty or too long, a token is outside the vocabulary.</exception>
    public IReadOnlyList<GeneratedSequence> Generate(
        IReadOnlyList<IReadOnlyList<int>> prompts,
        IReadOnlyList<ulong> seeds,
        GenerationOptions options,
        Action<int, int>? onToken = null,
        CancellationToken cancellation = default)
    {
        options.Validate();
        if (seeds.Count != prompts.Count)
            throw new ArgumentException($"{seeds.Count} seeds for {prompts.Count} prompts");
        if (prompts.Count == 0)
            return [];
        var longest = CheckPrompts(model.Config, prompts, options);
        var rows = prompts.Select((prompt, index) => new Row(index, new Sampler(options, seeds[index]), prompt)).ToList();
        if (options.MaxTokens == 0)
            return [.. rows.Select(row => row.Result)];

        using var grad = torch.no_grad();
        // The last token of a sequence is never fed back.
        using var cache = new KvCache(model.Config, prompts.Count, longest + options.MaxTokens - 1, model.Device, model.DType);
        var padding = prompts.Select(prompt => longest - prompt.Count).ToArray();
        var inputs = prompts.SelectMany((prompt, i) => Enumerable.Repeat(0L, padding[i]).Concat(prompt.Select(id => (long)id))).ToArray();
        var inCache = rows;
        using var graph = new GraphSteps(model, cache, options.Graph);
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            var left = options.MaxTokens - inCache.Max(row => row.Tokens.Count);
            Step(cache, inCache, inputs, cache.Length == 0 ? padding : null, graph.Serve(left) ? graph : null, options, onToken);
            var active = inCache.Where(row => !row.Ended).ToList();
            if (active.Count == 0)
                return [.. rows.Select(row => row.Result)];
            // Ended rows are carried along until they are half of the work: taking them out copies the cache.
            if (2 * active.Count <= inCache.Count)
            {
                graph.Reset();
                cache.Select([.. active.Select(row => inCache.IndexOf(row))]);
                inCache = active;
            }
            inputs = [.. inCache.Select(row => (long)row.Tokens[^1])];
        }
    }

    private void Step(KvCache cache, List<Row> rows, long[] inputs, int[]? padding, GraphSteps? graph, GenerationOptions options, Action<int, int>? onToken)
    {
        using var scope = torch.NewDisposeScope();
        var tokens = graph is null ? Next(cache, rows, inputs, padding, options)
            : options is { Temperature: 0, RepetitionPenalty: 1 } ? graph.Likeliest(inputs)
            : Draw(graph.Logits(inputs), rows, options);
        for (var i = 0; i < rows.Count; i++)
        {
            if (rows[i].Ended)
                continue;
            var token = (int)tokens[i];
            rows[i].Tokens.Add(token);
            rows[i].Stopped = options.StopIds.Contains(token) | options.Ends?.Invoke(rows[i].Index, rows[i].Tokens) == true;
            rows[i].Ended = rows[i].Stopped || rows[i].Tokens.Count == options.MaxTokens;
            onToken?.Invoke(rows[i].Index, token);
        }
    }

    private long[] Next(KvCache cache, List<Row> rows, long[] inputs, int[]? padding, GenerationOptions options)
    {
        var x = model.hidden(torch.tensor(inputs, rows.Count, inputs.Length / rows.Count), cache, padding);
        return Draw(model.head(x.narrow(1, x.size(1) - 1, 1)).flatten(0, 1), rows, options);
    }

    /// <summary>From logits [rows, vocabulary] the next token of every row; what stands for an ended row is of no use.</summary>
    private static long[] Draw(Tensor logits, List<Row> rows, GenerationOptions options)
    {
        if (options.RepetitionPenalty != 1)
            logits = Penalized(logits, rows, options.RepetitionPenalty);
        if (logits.device_type == DeviceType.CUDA)
            return new BatchSampler(options).Next(logits, [.. rows.Select(row => row.Sampler.Uniform())]);
        var values = logits.to(ScalarType.Float32).contiguous();
        var vocabulary = (int)logits.size(1);
        var tokens = new long[rows.Count];
        // A row's generator is its own: the order of the rows does not matter.
        RowWorkers.Shared.Run(rows.Count, torch.get_num_threads(), (first, last) =>
        {
            for (var i = first; i < last; i++)
                tokens[i] = rows[i].Ended ? 0 : rows[i].Sampler.Next(values.AsSpan<float>().Slice(i * vocabulary, vocabulary));
        });
        return tokens;
    }

    /// <summary>Logits with the penalty on the tokens of every row's prompt and text.</summary>
    private static Tensor Penalized(Tensor logits, List<Row> rows, double penalty)
    {
        var changed = logits.to(ScalarType.Float32, copy: true);
        for (var i = 0; i < rows.Count; i++)
        {
            var (row, ids) = (changed.select(0, i), torch.tensor(rows[i].Prompt.Concat(rows[i].Tokens).Distinct().Select(id => (long)id).ToArray()).to(logits.device));
            var found = row.index_select(0, ids);
            row.index_copy_(0, ids, torch.where(found.gt(0), found.div(penalty), found.mul(penalty)));
        }
        return changed;
    }

    /// <summary>Returns the length of the longest prompt, 0 where there is none.</summary>
    /// <exception cref="InvalidInputException">A prompt is empty, or too long for the model's positions.</exception>
    internal static int CheckPrompts(DecoderConfig config, IReadOnlyList<IReadOnlyList<int>> prompts, GenerationOptions options)
    {
        for (var i = 0; i < prompts.Count; i++)
        {
            if (prompts[i].Count == 0)
                throw new InvalidInputException($"prompt {i} has no tokens; begin it with the token that begins a text (BOS)");
        }
        var longest = prompts.Max(prompt => (int?)prompt.Count) ?? 0;
        if (config.LearnedPositions && longest + options.MaxTokens - 1 > config.MaxPositions)
        {
            throw new InvalidInputException(
                $"a prompt of {longest} tokens and {options.MaxTokens} new ones do not fit the {config.MaxPositions} positions of this {config.ModelType} model; generate fewer");
        }
        return longest;
    }

    private sealed class Row(int index, Sampler sampler, IReadOnlyList<int> prompt)
    {
        public int Index => index;

        public Sampler Sampler => sampler;

        public IReadOnlyList<int> Prompt => prompt;

        public List<int> Tokens { get; } = [];

        public bool Stopped { get; set; }

        public bool Ended { get; set; }

        public GeneratedSequence Result => new(Tokens, Stopped);
    }
}
