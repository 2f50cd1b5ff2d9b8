using System.Text.Json.Nodes;
using Qbb.Inference.Decoding;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Text that is shown as it comes, and conversations.</summary>
public class ChatTests
{
    private static readonly string s_teacher = Path.Combine(Reference.Root, "samples", "teacher");
    private static readonly Tokenizer s_tokenizer = Tokenizer.FromFile(Path.Combine(s_teacher, "tokenizer.json"));

    [Fact]
    public void Text_is_written_as_it_comes_in_whole_characters()
    {
        var (before, parts) = (s_tokenizer.Encode("The sea"), new List<string>());
        var text = new StreamedText(s_tokenizer, before, [], parts.Add);
        foreach (var id in s_tokenizer.Encode(" was 😀 blue, é!", addSpecialTokens: false))
            text.Add(id).ShouldBeFalse();
        text.End();
        string.Concat(parts).ShouldBe(" was 😀 blue, é!");
        text.Text.ShouldBe(" was 😀 blue, é!");
        parts.Count.ShouldBeGreaterThan(3);
        parts.ShouldAllBe(part => !part.Contains('\uFFFD'));
    }

    [Fact]
    public void A_stop_string_ends_the_text_and_is_not_shown_in_any_part()
    {
        var parts = new List<string>();
        var text = new StreamedText(s_tokenizer, s_tokenizer.Encode("a"), ["blue, y", "never"], parts.Add);
        var ends = s_tokenizer.Encode(" was blue, blue, you see", addSpecialTokens: false).Select(text.Add).TakeWhile(end => !end).Count();
        text.End();
        text.Text.ShouldBe(" was blue, ");
        string.Concat(parts).ShouldBe(" was blue, ");
        ends.ShouldBeLessThan(s_tokenizer.Encode(" was blue, blue, you see", addSpecialTokens: false).Length - 1);
    }

    [Fact]
    public void A_text_that_only_begins_like_a_stop_string_is_shown_at_the_end()
    {
        var parts = new List<string>();
        var text = new StreamedText(s_tokenizer, s_tokenizer.Encode("a"), ["see!"], parts.Add);
        foreach (var id in s_tokenizer.Encode(" you see", addSpecialTokens: false))
            text.Add(id);
        string.Concat(parts).ShouldBe(" you ");
        text.End();
        string.Concat(parts).ShouldBe(" you see");
    }

    [Fact]
    public void Generate_shows_what_its_JSON_holds_and_ends_at_a_stop_string()
    {
        string[] arguments = ["generate", s_teacher, "--prompt", "The sea", "-n", "24", "--seed", "3"];
        var whole = QbbCommands.Run([.. arguments, "--json"]).Json["samples"]![0]!["text"]!.GetValue<string>();
        QbbCommands.Run(arguments).Out.ShouldBe(whole + "\n");
        var stop = whole["The sea".Length..].Substring(8, 4);
        var stopped = QbbCommands.Run([.. arguments, "--stop", stop, "--json"]).Json["samples"]![0]!;
        stopped["text"]!.GetValue<string>().ShouldBe(whole[..whole.IndexOf(stop, "The sea".Length, StringComparison.Ordinal)]);
        stopped["ids"]!.AsArray().Count.ShouldBeLessThan(24);
    }

    [Fact]
    public void A_conversation_goes_through_the_models_template()
    {
        using var folder = new TemporaryFolder();
        foreach (var file in Directory.GetFiles(s_teacher))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        QbbCommands.Run("chat", folder.Path).Error.ShouldContain("has no chat template: use qbb generate");
        folder.Write("chat_template.jinja", "{% for m in messages %}{{ m.role }} says {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}The sea{% endif %}");
        var talk = QbbProcess.RunWithInput("hello\n\nand you?\n", "chat", folder.Path, "--system", "be brief", "-n", "6", "--temperature", "0", "--json");
        talk.Code.ShouldBe(0, talk.Error);
        var messages = talk.Json["messages"]!.AsArray();
        messages.Select(message => message!["role"]!.GetValue<string>()).ShouldBe(["system", "user", "assistant", "user", "assistant"]);
        var answer = messages[2]!["content"]!.GetValue<string>();
        // The same as the rendered text continued.
        var rendered = "system says be brief\nuser says hello\nThe sea";
        var continued = QbbCommands.Run("generate", folder.Path, "--prompt", rendered, "-n", "6", "--temperature", "0", "--json").Json["samples"]![0]!["text"]!.GetValue<string>();
        answer.ShouldBe(continued[rendered.Length..]);
        folder.Write("chat_template.jinja", "{{ raise_exception('no system messages') }}");
        var refused = QbbProcess.RunWithInput("hello\n", "chat", folder.Path);
        (refused.Code, refused.Error).ShouldSatisfyAllConditions(both => both.Code.ShouldBe(2), both => both.Error.ShouldContain("the model's chat template refuses the conversation: no system messages"));
    }
}
