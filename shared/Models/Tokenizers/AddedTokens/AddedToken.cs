namespace Qbb.Models.Tokenizers;

/// <summary>A token that is found in the text as it is written, before the model sees it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
/// <param name="Special">Left out when decoding without special tokens.</param>
/// <param name="Normalized">Looked for in the normalized text, not in the original.</param>
/// <param name="SingleWord">Only where no word character touches it.</param>
/// <param name="StripLeft">Takes the white space before it too.</param>
/// <param name="StripRight">Takes the white space after it too.</param>
internal sealed record AddedToken(
    int Id, string Content, bool Special, bool Normalized, bool SingleWord, bool StripLeft, bool StripRight);
