using System.Text.RegularExpressions;
using Qbb.Models;
using Qbb.Models.Tokenizers;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// The tokens that a sequence may begin with: those that stand for text. Left out are special tokens, those that end a text, places that
/// vocabularies keep in reserve (&lt;unused0&gt;, &lt;|reserved_special_token_5|&gt;, ids without a token), single bytes of byte fallback
/// (&lt;0x0A&gt;), parts of a UTF-8 character, and control characters other than white space.
/// </summary>
public static partial class OrdinaryTokens
{
    /// <param name="tokenizer">Null where there is none: all ids but the stop ids then count as ordinary.</param>
    /// <param name="vocabularySize">Of the model, which may have more rows than the tokenizer has tokens.</param>
    /// <param name="stopIds">Tokens that end a text.</param>
    /// <returns>Ids in rising order.</returns>
    /// <exception cref="InvalidInputException">No token is ordinary.</exception>
    public static IReadOnlyList<int> Of(Tokenizer? tokenizer, int vocabularySize, IReadOnlyList<int> stopIds)
    {
        var excluded = stopIds.Concat(tokenizer?.SpecialIds ?? []).ToHashSet();
        int[] ids = [.. Enumerable.Range(0, vocabularySize)
            .Where(id => !excluded.Contains(id) && (tokenizer is null || IsText(tokenizer, id)))];
        return ids.Length > 0
            ? ids
            : throw new InvalidInputException(
                $"none of the {vocabularySize} tokens of the teacher stands for text", "take the tokenizer.json that came with the model");
    }

    private static bool IsText(Tokenizer tokenizer, int id)
    {
        if (tokenizer.IdToToken(id) is not { } token || Reserved().IsMatch(token))
            return false;
        var text = tokenizer.Decode([id]);
        return !text.Contains('\uFFFD') && !text.Any(character => char.IsControl(character) && !char.IsWhiteSpace(character));
    }

    [GeneratedRegex(
        @"^(<0x[0-9a-f]{2}>|[<\[]\|?_?(unused|reserved|extra_id|placeholder|dummy|empty)\S*[>\]])$",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Reserved();
}
