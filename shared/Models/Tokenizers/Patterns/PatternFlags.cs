namespace Qbb.Models.Tokenizers;

[Flags]
internal enum PatternFlags
{
    None = 0,

    /// <summary>A loop that gives nothing back.</summary>
    Possessive = 1,

    /// <summary>A look at the text before the position.</summary>
    Behind = 2,

    /// <summary>A look that must not match.</summary>
    Negative = 4,
}
