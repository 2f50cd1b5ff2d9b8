using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

public class EvaluationTextTests
{
    [Fact]
    public void WikiText_rows_are_joined_by_two_newlines_and_blank_rows_are_empty() =>
        EvaluationText.JoinWikiText(" \n = A = \n \n text one \n").ShouldBe("\n\n = A = \n\n\n\n\n text one \n");

    [Fact]
    public void A_last_row_without_a_newline_is_kept() => EvaluationText.JoinWikiText("a\nb").ShouldBe("a\n\n\nb");

    [Fact]
    public void The_layout_is_seen_from_the_file()
    {
        using var folder = new TemporaryFolder();
        var file = folder.Write("wiki", " \n = Robert Boulter = \n \n He is an actor . \n");
        EvaluationText.Read(file).Layout.ShouldBe(TextLayout.Wikitext);
        EvaluationText.Read(file, TextLayout.Raw).Text.ShouldStartWith(" \n = Robert");
        var book = folder.Write("book", "It was a dark night.\n");
        EvaluationText.Read(book).ShouldBe(("It was a dark night.\n", TextLayout.Raw));
    }

    [Fact]
    public void Texts_that_cannot_be_read_are_named()
    {
        Should.Throw<InvalidInputException>(() => EvaluationText.Read("/no/such/text")).Message.ShouldContain("/no/such/text");
        using var folder = new TemporaryFolder();
        var empty = folder.Write("empty", "");
        Should.Throw<InvalidInputException>(() => EvaluationText.Read(empty)).Message.ShouldContain("empty");
        var latin = folder.Write("latin", [65, 0xE9, 66]);
        Should.Throw<InvalidInputException>(() => EvaluationText.Read(latin)).Message.ShouldContain("not UTF-8");
    }

    [Fact]
    public void The_real_test_set_has_its_4358_rows()
    {
        var raw = File.ReadAllText(Reference.Shared("data", "wikitext-2", "wiki.test.raw"));
        var rows = raw.Count(c => c == '\n');
        rows.ShouldBe(4358);
        var blank = raw.TrimEnd('\n').Split('\n').Where(string.IsNullOrWhiteSpace).Sum(line => line.Length + 1);
        EvaluationText.JoinWikiText(raw).Length.ShouldBe(raw.Length - blank + 2 * (rows - 1));
    }
}
