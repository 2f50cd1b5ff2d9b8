using System.Text.RegularExpressions;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class PatternTests
{
    public static TheoryData<string> PatternsOfBothEngines =>
    [
        @"\p{L}+|\p{N}{1,3}",
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\s+",
        @"a+?b|(?:ab|a)(?:c|bcd)(?:d*)|[a-c]{2,4}?x",
        @"(?<=a)b|(?<!a)c|b(?=c)|c(?!b)",
        @"(?>a+b?|a)[bc]|(?:ab)*c|(?:a|b)+?c",
        @"(?<=[ab]c)\S|x{0,2}y|[^abc\s]",
        @"\ba|b\b|a\Bb",
        @"(a(b(c|a)?)?)+",
    ];

    [Theory]
    [MemberData(nameof(PatternsOfBothEngines))]
    public void Matches_in_the_basic_plane_equal_those_of_the_runtimes_engine(string source)
    {
        const int seed = 77;
        var random = new Random(seed);
        var pattern = new Pattern(source);
        var reference = new Regex(source, RegexOptions.CultureInvariant);
        const string alphabet = "aaabbbccc xyABC  ''sdtl019\r\n\t.,!?é\u0301ǅΩж中٣⅓€\u00A0\u3000";
        for (var i = 0; i < 500; i++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(25)).Select(_ => alphabet[random.Next(alphabet.Length)]));
            Matches(pattern, text).ShouldBe(reference.Matches(text).Select(match => match.Value), customMessage: $"seed {seed}: \"{text}\"");
        }
    }

    [Theory]
    [InlineData(@"\p{L}+", "𝔘𝔫𝔦 x𐐀y 🙂", "𝔘𝔫𝔦,x𐐀y")]
    [InlineData(@"[^\s\p{L}]+", "🙂🙂𐐀🙂", "🙂🙂,🙂")]
    [InlineData(@".", "a🙂b", "a,🙂,b")]
    [InlineData(@"🙂+", "🙂🙂a", "🙂🙂")]
    [InlineData(@"[😀-😂]{2}", "😀😁😂😃", "😀😁")]
    [InlineData(@"\p{L}+a", "𐐀𐐀a𐐀", "𐐀𐐀a")]
    [InlineData(@"(?<=𐐀)a", "a𐐀a", "a")]
    [InlineData(@"\p{Nd}+", "𝟎𝟏x", "𝟎𝟏")]
    [InlineData(@"\p{Han}+", "漢字かな𠀀々x", "漢字,𠀀々")]
    public void Characters_beyond_the_basic_plane_are_one_each(string pattern, string text, string matches) =>
        Matches(new Pattern(pattern), text).ShouldBe(matches.Split(','));

    [Theory]
    [InlineData("(?i:'s)", "'s'S'ſ'z", "'s,'S,'ſ")]
    [InlineData("(?i)k", "kK\u212A", "k,K,\u212A")]
    [InlineData("a(?i)b|c", "aB ac bc", "aB,ac")]
    [InlineData("(?i:[a-c])+", "AbCd", "AbC")]
    [InlineData("a++a|b", "aaab", "b")]
    [InlineData("[ab]?+ab", "aab", "aab")]
    [InlineData(@"\d{1,3}+", "1234567", "1234567")]
    [InlineData("[[:alpha:]]+|[[:^alpha:]]", "ab1", "ab,1")]
    [InlineData(@"[\w&&[^\d]]+", "ab1c", "ab,c")]
    [InlineData(@"[^(\s|[.,])]+", "ab,c(d|e f", "ab,c,d,e,f")]
    [InlineData(@"\p{^L}|\P{N}", "a1", "a,1")]
    [InlineData(@"\x41|\x{1F600}|\u0042|\t", "A😀B\t", "A,😀,B,\t")]
    [InlineData(@"^a|b$", "ab\nab", "a,b,a,b")]
    [InlineData(@"\Aa|b\z", "ab\nab", "a,b")]
    [InlineData(@"\h+|\R", "ff\r\n0", "ff,\r\n,0")]
    [InlineData("(?x) a  b # both\n", "ab", "ab")]
    [InlineData("(?<name>a)(?#comment)b", "ab", "ab")]
    [InlineData("[[:punct:]]+", "a$+.§b", "$+.§")]
    [InlineData(@"\p{Punct}+", "a$+.§b", ".§")]
    [InlineData("[[:alpha:]]+", "a\u0345Ⓐ\u0301b", "a\u0345Ⓐ,b")]
    [InlineData("[[:upper:]]|[[:lower:]]", "Ⅷªa", "Ⅷ,ª,a")]
    [InlineData("[[:graph:]]+", "a b\u200D\u0001c", "a,b\u200D,c")]
    [InlineData(@"\w+", "a²\u200Db½ c", "a²,b½,c")]
    [InlineData(@"[\w]+", "a²\u200Db½ c", "a,b,c")]
    [InlineData(@"\bb", "²b b", "b")]
    [InlineData(@"\p{Greek}+|\p{Cyrl}", "abгΣς", "г,Σς")]
    [InlineData(@"\p{Old_Italic}", "\U00010300", "\U00010300")]
    [InlineData(@"[^\p{Katakana}\p{Hiragana}]+", "aカかb", "a,b")]
    [InlineData(@"(?i)\p{Lu}", "aA", "A")]
    [InlineData(@"(?i)[\p{Lu}]", "aA", "a,A")]
    [InlineData(@"(?i)[\w&&[^\p{Lu}\d]]", "aA1", "a,A")]
    [InlineData(@"(?i)[^\p{Lu}]", "aA1", "1")]
    [InlineData("a{,2}b|{", "aaab{", "aab,{")]
    [InlineData("]", "a]", "]")]
    [InlineData("[a-]+", "a-b", "a-")]
    public void Syntax_is_that_of_oniguruma(string pattern, string text, string matches) =>
        Matches(new Pattern(pattern), text).ShouldBe(matches.Split(','));

    [Theory]
    [InlineData("x*", "axxb", "0+0 1+2 4+0")]
    [InlineData("(?=b)", "ab🙂b", "1+0 4+0")]
    [InlineData("a|", "ba", "0+0 1+1")]
    public void Empty_matches_do_not_follow_a_match(string source, string text, string expected)
    {
        var found = new List<string>();
        var matches = new Pattern(source).Matches(text);
        while (matches.MoveNext())
            found.Add($"{matches.Start}+{matches.End - matches.Start}");
        string.Join(' ', found).ShouldBe(expected);
    }

    [Theory]
    [InlineData(@"(a)\1", "\\1")]
    [InlineData(@"\p{InGreek}", "InGreek")]
    [InlineData("[[:letter:]]", "[:letter:]")]
    [InlineData(@"\X", "\\X")]
    [InlineData("(a", "not closed")]
    [InlineData("a)", ")")]
    [InlineData("[a", "not closed")]
    [InlineData("*a", "nothing to repeat")]
    [InlineData("(?<=a+)b", "fixed length")]
    [InlineData("(?:a|b?)*", "empty")]
    [InlineData("a{5,2}", "backwards")]
    [InlineData("a{100000}", "100000")]
    [InlineData("(?:(?:(?:a|b){100}){100}){100}", "too large")]
    [InlineData("[z-a]", "backwards")]
    [InlineData(@"\x{FFFFFF}", "not a code point")]
    [InlineData("(?q)a", "(?q")]
    [InlineData(@"a\", "backslash")]
    public void What_is_not_known_is_refused_with_the_reason(string source, string reason) =>
        Should.Throw<InvalidInputException>(() => new Pattern(source)).Message.ShouldContain(reason);

    [Fact]
    public void Deep_nesting_is_refused() =>
        Should.Throw<InvalidInputException>(() => new Pattern(new string('(', 10_000))).Message.ShouldContain("nested");

    [Theory]
    [InlineData("(?:a|aa)+c")]
    [InlineData("(?:a+)+c")]
    [InlineData("(?:a?){20}a{20}c")]
    public void A_runaway_pattern_is_stopped(string source)
    {
        var pattern = new Pattern(source);
        Should.Throw<InvalidInputException>(() => Matches(pattern, new string('a', 2000))).Message.ShouldContain("too long");
    }

    [Fact]
    public void Long_runs_need_no_stack()
    {
        var text = new string(' ', 300_000) + new string('a', 300_000);
        Matches(new Pattern(@"\s+(?!\S)|\s+|(?:aa)+"), text).Select(match => match.Length).ShouldBe([299_999, 1, 300_000]);
    }

    private static List<string> Matches(Pattern pattern, string text)
    {
        var found = new List<string>();
        var matches = pattern.Matches(text);
        while (matches.MoveNext())
            found.Add(text[matches.Start..matches.End]);
        return found;
    }
}
