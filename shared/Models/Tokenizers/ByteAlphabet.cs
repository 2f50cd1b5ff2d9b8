using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>GPT-2's alphabet: a printable character for each of the 256 bytes.</summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = MakeCharacters();
    private static readonly short[] Bytes = MakeBytes();

    /// <summary>The character of a byte: itself where it is printable Latin-1, else the next free one from U+0100 on.</summary>
    public static char CharacterOf(byte value) => Characters[value];

    /// <summary>The byte that a character stands for, or -1.</summary>
    public static int ByteOf(char character) => character < Bytes.Length ? Bytes[character] : -1;

    /// <summary>The UTF-8 bytes of a text, as characters of the alphabet.</summary>
    public static string Encode(ReadOnlySpan<char> text)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        return string.Create(bytes.Length, bytes, static (span, source) =>
        {
            for (var i = 0; i < span.Length; i++)
                span[i] = Characters[source[i]];
        });
    }

    private static char[] MakeCharacters()
    {
        var characters = new char[256];
        var free = '\u0100';
        for (var value = 0; value < 256; value++)
        {
            var printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            characters[value] = printable ? (char)value : free++;
        }
        return characters;
    }

    private static short[] MakeBytes()
    {
        var bytes = new short[Characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (var value = 0; value < 256; value++)
            bytes[Characters[value]] = (short)value;
        return bytes;
    }
}
