namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "decoder" of tokenizer.json.</summary>
internal static class DecoderLoader
{
    private const string Known = "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, BPEDecoder, WordPiece, CTC and Sequence are supported";

    public static IDecoder? Load(JsonField field)
    {
        if (field.IsNull)
            return null;
        return field.Type switch
        {
            "Sequence" => new DecoderSequence([.. field["decoders"].Items().Select(Load).OfType<IDecoder>()]),
            "ByteLevel" => new ByteLevelDecoder(),
            "Replace" => new ReplaceDecoder(PatternLoader.LoadReplacement(field)),
            "ByteFallback" => new ByteFallbackDecoder(),
            "Fuse" => new FuseDecoder(),
            "Strip" => new StripDecoder(
                PatternLoader.LoadCharacter(field["content"]), field["start"].Int(0, int.MaxValue), field["stop"].Int(0, int.MaxValue)),
            "Metaspace" => new MetaspaceDecoder(PatternLoader.LoadCharacter(field["replacement"]), PreTokenizerLoader.LoadPrependScheme(field)),
            "BPEDecoder" => new SuffixDecoder(field["suffix"].StringOr("</w>")),
            "WordPiece" => new WordPieceDecoder(field["prefix"].StringOr("##"), field["cleanup"].BoolOr(true)),
            "CTC" => new CtcDecoder(
                field["pad_token"].StringOr("<pad>"), field["word_delimiter_token"].StringOr("|"), field["cleanup"].BoolOr(true)),
            var type => throw field.Error($"is of the type {type}, which is not supported: {Known}"),
        };
    }
}
