using System.CommandLine;
using System.Runtime.CompilerServices;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;
using Qbb.Inference.Decoding;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using IDecoder = Qbb.Inference.Decoding.IDecoder;

namespace Qbb.Cli.Loading;

/// <summary>A model that continues texts: on a CPU without libtorch, elsewhere and in other types with it.</summary>
internal abstract class TextModel : IDisposable
{
    public abstract ModelSource Source { get; }

    public abstract Tokenizer Tokenizer { get; }

    /// <summary>Stays the model's.</summary>
    public abstract IDecoder Decoder { get; }

    /// <param name="path">A Hugging Face folder or a GGUF file.</param>
    /// <param name="compute">Where to calculate.</param>
    /// <param name="parsed">The command line.</param>
    /// <param name="integer">Sums of integers, which libtorch's way has alone; null for floats.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    /// <param name="cacheBits">Of keys and values, which libtorch's way does not choose; null for the usual.</param>
    /// <param name="check">Refuses what the model's shape does not allow, before its weights are read.</param>
    /// <exception cref="InvalidInputException">The model cannot be read, or has no tokenizer.</exception>
    public static TextModel Open(
        string path, ComputeOptions compute, ParseResult parsed, ActivationScale? integer = null, int? bases = null, int? cacheBits = null, Action<DecoderConfig>? check = null)
    {
        if (compute.IsPlainCpu(parsed, out var threads) && integer is null)
            return new OnCpu(path, new() { Threads = threads, Bases = bases, Cache = cacheBits == 8 ? KvPrecision.Int8 : KvPrecision.Int16 }, check);
        if (cacheBits is not null)
            throw new InvalidInputException("--kv-cache is for the CPU in fp32 without --integer", "leave it out");
        return OpenOnTorch(path, compute, parsed, integer, bases, check);
    }

    // A method that mentions a type of TorchSharp loads libtorch before it runs.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static OnTorch OpenOnTorch(string path, ComputeOptions compute, ParseResult parsed, ActivationScale? integer, int? bases, Action<DecoderConfig>? check)
    {
        var (device, type) = compute.Apply(parsed);
        return new(path, device, type, integer, bases, check);
    }

    /// <summary>The same as <c>qbb generate</c> opens it, where nothing but device and threads is chosen.</summary>
    /// <exception cref="InvalidInputException">The model cannot be read, or has no tokenizer.</exception>
    public static TextModel Open(string path, Device device, int threads) => device.type == DeviceType.CPU
        ? new OnCpu(path, new() { Threads = threads }, null)
        : new OnTorch(path, device, SharedOptions.ParseDType(null, device), null, null, null);

    /// <inheritdoc cref="SequenceGenerator.Generate"/>
    public abstract IReadOnlyList<GeneratedSequence> Generate(
        IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<ulong> seeds, GenerationOptions options, CancellationToken cancellation);

    public abstract void Dispose();

    private sealed class OnCpu : TextModel
    {
        private readonly CpuDecoder _decoder;

        public OnCpu(string path, CpuDecoderOptions options, Action<DecoderConfig>? check)
        {
            Source = ModelSource.Open(path);
            try
            {
                // Side by side: each is half of the time to the first token.
                var config = DecoderConfig.FromJson(Source.ConfigJson);
                check?.Invoke(config);
                var tokenizer = Task.Run(() => LoadedModel.ReadTokenizer(Source, config.VocabularySize));
                try
                {
                    _decoder = CpuDecoder.Load(Source, options);
                }
                finally
                {
                    Tokenizer = tokenizer.GetAwaiter().GetResult();
                }
            }
            catch
            {
                Source.Dispose();
                throw;
            }
        }

        public override ModelSource Source { get; }

        public override Tokenizer Tokenizer { get; }

        public override IDecoder Decoder => _decoder;

        public override IReadOnlyList<GeneratedSequence> Generate(
            IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<ulong> seeds, GenerationOptions options, CancellationToken cancellation) =>
            new SequenceGenerator(_decoder).Generate(prompts, seeds, options, cancellation);

        public override void Dispose()
        {
            _decoder.Dispose();
            Source.Dispose();
        }
    }

    private sealed class OnTorch : TextModel
    {
        private readonly LoadedModel _loaded;

        public OnTorch(string path, Device device, ScalarType type, ActivationScale? integer, int? bases, Action<DecoderConfig>? check) =>
            _loaded = LoadedModel.Open(path, device, type, new() { Integer = integer }, bases, needsTokenizer: true, check);

        public override ModelSource Source => _loaded.Source;

        public override Tokenizer Tokenizer => _loaded.Tokenizer;

        public override IDecoder Decoder => new TorchDecoder(_loaded.Model);

        public override IReadOnlyList<GeneratedSequence> Generate(
            IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<ulong> seeds, GenerationOptions options, CancellationToken cancellation) =>
            new TokenGenerator(_loaded.Model).Generate(prompts, seeds, options, cancellation: cancellation);

        public override void Dispose() => _loaded.Dispose();
    }
}
