using System.Text.Json.Nodes;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Quality;
using Qbb.Synthdata.Sampling;
using Qbb.Tests;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Tests;

/// <summary>Small models and data.</summary>
internal static class Tiny
{
    public const int Vocabulary = 64;

    public const string Digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    public static string OtherDigest { get; } = new('f', 64);

    /// <summary>Calculates in fp64, so that the rounding of products of other shapes never moves a draw.</summary>
    public static Transformer Model(ulong seed = 1, int vocabulary = Vocabulary, ScalarType dtype = ScalarType.Float64, int hidden = 32) => Transformer.Create(
        DecoderConfig.FromJson(new JsonObject
        {
            ["model_type"] = "llama",
            ["vocab_size"] = vocabulary,
            ["hidden_size"] = hidden,
            ["intermediate_size"] = 48,
            ["num_hidden_layers"] = 2,
            ["num_attention_heads"] = 4,
            ["num_key_value_heads"] = 2,
            ["max_position_embeddings"] = 128,
            ["rms_norm_eps"] = 1e-5,
            ["tie_word_embeddings"] = false,
        }),
        seed,
        dtype: dtype);

    public static Tokenizer Tokenizer(string name) => Models.Tokenizers.Tokenizer.FromFile(Reference.Path("tokenizers", name, "tokenizer.json"));

    public static Teacher Teacher(Transformer model, Tokenizer? tokenizer = null, params int[] stopIds) => new(model, Digest, tokenizer, stopIds);

    /// <summary>Writes data by hand, in shards of <paramref name="shardSize"/> rows.</summary>
    public static void WriteData(string folder, IReadOnlyList<int[]> sequences, int length, int shardSize, bool endsEarly = false, int vocabulary = Vocabulary)
    {
        Directory.CreateDirectory(folder);
        var origin = new SamplingOrigin(Digest, vocabulary, null, "f32", [], null,
            new SamplingOptions { Sequences = sequences.Count, Length = length, ShardSize = shardSize, StopAtEos = endsEarly });
        var shards = new List<ShardEntry>();
        foreach (var rows in sequences.Chunk(shardSize))
        {
            var path = Path.Combine(folder, ShardFile.NameOf(shards.Count));
            ShardFile.Write(path, rows, length, endsEarly, new Dictionary<string, string>());
            shards.Add(new ShardEntry(Path.GetFileName(path), rows.Length, ShardFile.Sha256(path)));
        }
        new DataManifest(DataManifest.CurrentFormat, origin, sequences.Count, sequences.Sum(row => (long)row.Length), shards, [],
            new QualityMeter(vocabulary).Report(), null).Write(folder);
    }

    public static List<int[]> RandomSequences(int count, int length, int seed = 9, int vocabulary = Vocabulary)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, length).Select(_ => random.Next(vocabulary)).ToArray())];
    }
}
