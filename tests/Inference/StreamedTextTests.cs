using Qbb.Inference.Decoding;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Inference.Tests;

/// <summary>Text that is decoded token by token, in windows, against the decoding of everything at once.</summary>
public class StreamedTextTests
{
    private const string Text = "The sea, it's 3.14 — naïve café, 東京タワー 😀👩‍👩‍👧 привет\n\n\tdef f(x):  return x**2  # “done” ﷽ שלום";

    private static readonly string[] s_tokenizers = [.. Directory.GetDirectories(Reference.Path("tokenizers")).Where(folder => File.Exists(Path.Combine(folder, "tokenizer.json"))).Select(folder => Path.GetFileName(folder)!)];

    public static TheoryData<string> Tokenizers => [.. s_tokenizers];

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void Every_tokenizers_text_grows_to_what_its_tokens_are_at_once(string name)
    {
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", name, "tokenizer.json"));
        var ids = tokenizer.Encode(Text + Text, addSpecialTokens: false);
        const int seed = 5;
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        foreach (var begin in Enumerable.Range(0, 8).Select(_ => random.Next(ids.Length / 2)).Append(0))
        {
            var parts = new List<string>();
            var text = new StreamedText(tokenizer, ids[..begin], [], parts.Add);
            foreach (var id in ids[begin..])
                text.Add(id).ShouldBeFalse();
            text.End();
            // The text begins with the character in whose middle the tokens before end.
            var start = "\uFFFD";
            for (var end = begin; start.EndsWith('\uFFFD'); end--)
                start = tokenizer.Decode(ids[..end], skipSpecialTokens: true);
            (start + string.Concat(parts)).ShouldBe(tokenizer.Decode(ids, skipSpecialTokens: true), $"from token {begin}");
            text.Text.ShouldBe(string.Concat(parts));
            text.Written.ShouldBe(text.Length);
        }
    }

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void The_bytes_of_tokens_are_those_of_the_text(string name)
    {
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", name, "tokenizer.json"));
        var ids = tokenizer.Encode(Text, addSpecialTokens: false);
        var joined = System.Text.Encoding.UTF8.GetString([.. ids.SelectMany(tokenizer.BytesOf)]);
        // Some decoders take the first space or tidy up spaces between words, which a token alone cannot know of.
        Bare(joined).ShouldBe(Bare(tokenizer.Decode(ids)));

        static string Bare(string text) => text.Replace(" ", "");
    }
}
