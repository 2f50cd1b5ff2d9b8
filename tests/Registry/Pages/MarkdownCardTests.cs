using Qbb.Registry.Pages.Cards;

namespace Qbb.Registry.Tests.Pages;

public sealed class MarkdownCardTests
{
    [Theory]
    [InlineData("# One", "<h3>One</h3>")]
    [InlineData("a *b* **c** `d*e*`", "<p>a <em>b</em> <strong>c</strong> <code>d*e*</code></p>")]
    [InlineData("snake_case_name stays", "<p>snake_case_name stays</p>")]
    [InlineData("- a\n- b\n  c", "<ul><li>a</li><li>b&#xA;c</li></ul>")]
    [InlineData("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>")]
    [InlineData("> a\n> b", "<blockquote><p>a&#xA;b</p></blockquote>")]
    [InlineData("```python\n# no heading\n```", "<pre tabindex=\"0\"><code># no heading</code></pre>")]
    [InlineData("```\nnever closed", "<pre tabindex=\"0\"><code>never closed</code></pre>")]
    [InlineData("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>")]
    [InlineData("[a](https://x.example/)", "<p><a href=\"https://x.example/\" rel=\"nofollow noopener noreferrer\">a</a></p>")]
    [InlineData("see https://x.example/a, please", "<p>see <a href=\"https://x.example/a\" rel=\"nofollow noopener noreferrer\">https://x.example/a</a>, please</p>")]
    [InlineData("![alt](https://x.example/p.png)", "<p><span class=\"quiet\">[picture: alt]</span></p>")]
    public void Cards_are_rendered(string card, string expected) => MarkdownCard.Render(card, 2).Text.ShouldBe(expected);

    [Theory]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("<img src=x onerror=alert(1)>")]
    [InlineData("[a](javascript:alert(1))")]
    [InlineData("[a](data:text/html,<script>alert(1)</script>)")]
    [InlineData("[a](//evil.example)")]
    [InlineData("[<b onclick=x>](https://x.example/\"onmouseover=alert(1))")]
    [InlineData("# <script>")]
    [InlineData("| <script> | b |\n|---|---|\n| <img onerror=x> | `<b>` |")]
    [InlineData("---\na: <script>\n---\nb")]
    [InlineData("```\n<script>\n```")]
    [InlineData("![<script>](x)")]
    [InlineData("> > > > > > > > <script>")]
    public void Nothing_of_a_card_becomes_markup_of_its_own(string card)
    {
        var html = MarkdownCard.Render(card, 2).Text;
        html.ShouldNotContain("<script", Case.Insensitive);
        html.ShouldNotContain("<img", Case.Insensitive);
        html.ShouldNotContain("<b ", Case.Insensitive);
        html.ShouldNotContain("href=\"javascript", Case.Insensitive);
        html.ShouldNotContain("href=\"data", Case.Insensitive);
        html.ShouldNotContain("href=\"//", Case.Insensitive);
        html.ShouldNotContain("\"onmouseover", Case.Insensitive);
    }

    [Fact]
    public void Tables_keep_strokes_in_cells_and_the_side_of_numbers()
    {
        var html = MarkdownCard.Render("| a | b |\n|---|--:|\n| 1 \\| x | 2 |", 2).Text;
        html.ShouldContain("<td class=\"\">1 | x</td><td class=\"number\">2</td>");
    }

    [Fact]
    public void Front_matter_stands_apart_and_a_long_card_is_cut()
    {
        MarkdownCard.Render("---\nlicense: mit\n---\n# A", 2).Text.ShouldBe("<pre class=\"front\" tabindex=\"0\"><code>license: mit</code></pre><h3>A</h3>");
        MarkdownCard.Render(new string('x', 300_000), 2).Text.Length.ShouldBeLessThan(210_000);
    }

    [Fact]
    public void A_card_made_to_take_long_does_not()
    {
        var watch = System.Diagnostics.Stopwatch.StartNew();
        foreach (var piece in new[] { "*", "`", "[", "![", "**a", "> ", "| ", "_a ", "<https://", "[a](" })
            MarkdownCard.Render(string.Concat(Enumerable.Repeat(piece, 20_000)), 2).Text.ShouldNotBeNull(piece);
        // Far above what it takes: a pattern that backtracks without end would not come back at all.
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(60));
    }
}
