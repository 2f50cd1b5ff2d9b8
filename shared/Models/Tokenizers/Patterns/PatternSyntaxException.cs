namespace Qbb.Models.Tokenizers;

/// <summary>A regular expression that is malformed or uses what <see cref="Pattern"/> does not know.</summary>
internal sealed class PatternSyntaxException(string pattern, string reason)
    : InvalidInputException($"the regular expression {Shorten(pattern)} cannot be used: {reason}")
{
    private static string Shorten(string pattern) => pattern.Length <= 200 ? $"\"{pattern}\"" : $"\"{pattern[..200]}…\"";
}
