namespace Qbb.Models.Tokenizers;

internal enum PatternOperation
{
    One,
    Loop,
    Split,
    Jump,
    Atomic,
    Look,
    Anchor,
    Accept,
}
