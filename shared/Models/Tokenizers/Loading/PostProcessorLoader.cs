namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "post_processor" of tokenizer.json, as far as it concerns one text.</summary>
internal static class PostProcessorLoader
{
    private const string Known = "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing and Sequence are supported";

    public static SequenceTemplate Load(JsonField field)
    {
        if (field.IsNull)
            return SequenceTemplate.Empty;
        switch (field.Type)
        {
            case "Sequence":
                return field["processors"].Items().Select(Load).Aggregate(SequenceTemplate.Empty, (inner, outer) => inner.Then(outer));
            case "ByteLevel":
                // It moves offsets only.
                return SequenceTemplate.Empty;
            case "BertProcessing" or "RobertaProcessing":
                return new SequenceTemplate([LoadPair(field["cls"])], [LoadPair(field["sep"])]);
            case "TemplateProcessing":
                return LoadTemplate(field);
            default:
                throw field.Error($"is of the type {field.Type}, which is not supported: {Known}");
        }
    }

    private static int LoadPair(JsonField field)
    {
        var items = field.Items().ToList();
        return items.Count == 2 ? LoadId(items[1]) : throw field.Error("is not a pair of token and id");
    }

    private static int LoadId(JsonField field) => field.Int(0, ModelLoader.MaximumId);

    private static SequenceTemplate LoadTemplate(JsonField field)
    {
        var (before, after) = (new List<int>(), new List<int>());
        var sequences = 0;
        foreach (var item in field["single"].Items())
        {
            if (!item["Sequence"].IsNull)
            {
                if (item["Sequence"]["id"].String() != "A")
                    throw item.Error("is not the sequence A, the only one there is in a single text");
                sequences++;
                continue;
            }
            var name = item["SpecialToken"]["id"].String();
            var ids = field["special_tokens"][name]["ids"].Items().Select(LoadId);
            (sequences == 0 ? before : after).AddRange(ids);
        }
        return sequences == 1 ? new SequenceTemplate(before, after) : throw field["single"].Error("does not have the sequence A exactly once");
    }
}
