using System.Text.Encodings.Web;
using System.Text.Json;

namespace Qbb.Models.Tokenizers;

/// <summary>How tokenizer.json is written: indented, letters as themselves.</summary>
internal static class TokenizerJsonFormat
{
    public static JsonSerializerOptions Options { get; } = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
