namespace Qbb.Models.Tokenizers;

/// <summary>Cuts a piece of text into smaller ones, which the model then sees one by one. Implementations are immutable.</summary>
internal interface IPreTokenizer
{
    void Split(in TextPiece piece, List<TextPiece> output);
}
