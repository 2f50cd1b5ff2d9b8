using System.Text.RegularExpressions;
using Qbb.Contracts;

namespace Qbb.Artifacts.Hub;

/// <summary>A model on the Hugging Face hub: hf:OWNER/NAME, with /FILE.gguf where a repository has several, and @REVISION.</summary>
/// <param name="Repository">OWNER/NAME; of some old models the name alone.</param>
/// <param name="File">A GGUF file's path in the repository; null for the model in safetensors, or the only GGUF file.</param>
/// <param name="Revision">A branch, tag or commit.</param>
public sealed partial record HubReference(string Repository, string? File, string Revision)
{
    public const string Scheme = "hf:";

    /// <summary>The reference; null if the text is a path.</summary>
    /// <exception cref="InvalidInputException">It has the scheme but not the form of a reference.</exception>
    public static HubReference? Parse(string text)
    {
        if (!text.StartsWith(Scheme, StringComparison.Ordinal))
            return null;
        var match = Form().Match(text);
        if (!match.Success || text.Contains("..", StringComparison.Ordinal) || text.Contains("//", StringComparison.Ordinal))
            throw new InvalidInputException($"{text} does not name a model on the hub", "write hf:OWNER/NAME, hf:OWNER/NAME/FILE.gguf or hf:OWNER/NAME@REVISION");
        return new(match.Groups["repository"].Value, match.Groups["file"] is { Success: true } file ? file.Value : null,
            match.Groups["revision"] is { Success: true } revision ? revision.Value : "main");
    }

    public override string ToString() => $"{Scheme}{Repository}{(File is null ? "" : $"/{File}")}{(Revision == "main" ? "" : $"@{Revision}")}";

    [GeneratedRegex(@"^hf:(?<repository>\w[\w.-]{0,95}(/\w[\w.-]{0,95})?)(/(?<file>\w[\w./-]*\.gguf))?(@(?<revision>\w[\w./-]*))?$", RegexOptions.CultureInvariant | RegexOptions.ECMAScript)]
    private static partial Regex Form();
}
