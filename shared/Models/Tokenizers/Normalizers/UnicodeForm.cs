namespace Qbb.Models.Tokenizers;

/// <summary>Unicode's normalization forms.</summary>
internal enum UnicodeForm
{
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}
