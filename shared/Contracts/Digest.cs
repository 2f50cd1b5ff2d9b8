using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace Qbb.Contracts;

/// <summary>A SHA-256 digest: what an artifact, a manifest or a unit of work is known by. In JSON it is its text.</summary>
[JsonConverter(typeof(DigestJsonConverter))]
public readonly record struct Digest
{
    private const int Length = 64;
    private readonly string? _value;

    private Digest(string value) => _value = value;

    /// <summary>64 lower-case hexadecimal digits.</summary>
    public string Value => _value ?? throw new InvalidOperationException("the digest was never set");

    /// <summary>The digest of bytes.</summary>
    public static Digest Of(ReadOnlySpan<byte> bytes) => FromHash(SHA256.HashData(bytes));

    /// <summary>The digest of a text's UTF-8 bytes.</summary>
    public static Digest Of(string text) => Of(Encoding.UTF8.GetBytes(text));

    /// <summary>A digest that was calculated elsewhere, 32 bytes.</summary>
    public static Digest FromHash(ReadOnlySpan<byte> hash) =>
        hash.Length == SHA256.HashSizeInBytes ? new(Convert.ToHexStringLower(hash)) : throw new ArgumentException("a digest has 32 bytes", nameof(hash));

    /// <exception cref="FormatException">The text is no digest.</exception>
    public static Digest Parse(string? text) =>
        TryParse(text, out var digest) ? digest : throw new FormatException("a digest is 64 lower-case hexadecimal digits");

    public static bool TryParse([NotNullWhen(true)] string? text, out Digest digest)
    {
        var valid = text?.Length == Length && text.All(char.IsAsciiHexDigitLower);
        digest = valid ? new(text!) : default;
        return valid;
    }

    public override string ToString() => _value ?? "";
}
