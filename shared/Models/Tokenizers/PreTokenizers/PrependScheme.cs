namespace Qbb.Models.Tokenizers;

/// <summary>Where Metaspace puts its mark in front: before every stretch of text, before the input only, nowhere.</summary>
internal enum PrependScheme
{
    Always,
    First,
    Never,
}
