using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Models.Tokenizers;
using Library = Tokenizers.DotNet.Tokenizer;
using LibraryException = Tokenizers.DotNet.TokenizerException;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>Random valid tokenizers and texts: ids and texts equal those of the library `tokenizers`, called through Tokenizers.DotNet.</summary>
public sealed class TokenizerOracleTests : IDisposable
{
    private const int Configurations = 100;
    private const int Texts = 20;

    private readonly string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.json");

    public void Dispose() => File.Delete(path);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_tokenizers_do_as_the_library_does(int seed)
    {
        SkipWithoutLibrary();
        TestContext.Current.SendDiagnosticMessage($"seed {seed}: {Configurations} tokenizers, {Texts} texts each");
        for (var round = 0; round < Configurations; round++)
        {
            var random = new Random(seed * 100_000 + round);
            var generator = new RandomTokenizerJson(random);
            Compare(generator.Tokenizer(), generator, random, compareDecoding: !generator.HasRewrittenToken, $"seed {seed}, round {round}");
        }
    }

    /// <summary>The pipelines of BERT, T5 and XLM-R: the models that are not BPE, with normalizers and decoders of their own.</summary>
    [Theory]
    [InlineData("wordpiece")]
    [InlineData("unigram")]
    public void Pipelines_of_encoders_do_as_the_library_does(string family)
    {
        SkipWithoutLibrary();
        const int seed = 77;
        var random = new Random(seed);
        var generator = new RandomTokenizerJson(random);
        var json = JsonNode.Parse(File.ReadAllText(Qbb.Tests.Reference.Path("tokenizers", family, "tokenizer.json")))!.AsObject();
        for (var round = 0; round < 10; round++)
        {
            if (family == "unigram")
                json["normalizer"] = new JsonObject { ["type"] = "Precompiled", ["precompiled_charsmap"] = generator.CharacterMap() };
            Compare(json, generator, random, compareDecoding: true, $"seed {seed}, round {round}");
        }
    }

    private void Compare(JsonObject json, RandomTokenizerJson generator, Random random, bool compareDecoding, string why)
    {
        File.WriteAllText(path, json.ToJsonString());
        using var library = Load();
        if (library == null)
        {
            Should.Throw<InvalidInputException>(() => Tokenizer.FromFile(path), $"{why}: the library refuses {json.ToJsonString()}");
            return;
        }
        var tokenizer = Tokenizer.FromFile(path);
        for (var i = 0; i < Texts; i++)
        {
            var text = generator.Text();
            var expected = library.Encode(text);
            tokenizer.Encode(text).ShouldBe(Signed(expected), $"{why}: {JsonSerializer.Serialize(text)} by {json.ToJsonString()}");
            if (!compareDecoding)
                continue;
            var shuffled = expected.ToArray();
            random.Shuffle(shuffled);
            uint[] any = [.. Enumerable.Range(0, random.Next(8)).Select(_ => (uint)random.Next(tokenizer.VocabularySize + 2))];
            foreach (var ids in new[] { expected, shuffled, any })
                tokenizer.Decode(Signed(ids), skipSpecialTokens: true).ShouldBe(library.Decode(ids), $"{why}: {string.Join(' ', ids)} by {json.ToJsonString()}");
        }
    }

    private Library? Load()
    {
        try
        {
            return new Library(path);
        }
        catch (LibraryException)
        {
            return null;
        }
    }

    private static int[] Signed(uint[] ids) => [.. ids.Select(id => (int)id)];

    private static void SkipWithoutLibrary() => Assert.SkipUnless(
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64, "the library is referenced for linux-x64 alone");
}
