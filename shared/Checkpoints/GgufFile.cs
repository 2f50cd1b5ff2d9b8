namespace Qbb.Checkpoints;

/// <summary>
/// One GGUF file, memory-mapped, as it is (split ones as a whole, metadata of the first piece): tensors under GGUF's names with rows as stored, shapes outermost dimension first.
/// Read as floats: F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, Q1_0, Q2_0, MXFP4, NVFP4 and integers; other types are listed but
/// refused when read. <see cref="GgufTensors"/> gives the same tensors under Hugging Face's names.
/// </summary>
public sealed class GgufFile : MappedTensors
{
    private readonly GgufHeader header;
    private readonly IReadOnlyDictionary<MappedFile, long> dataStarts;

    private GgufFile(IReadOnlyList<MappedFile> files, IReadOnlyList<GgufHeader> headers)
        : base(files, [.. headers.SelectMany(piece => piece.Tensors)])
    {
        header = headers[0];
        Files = [.. files.Select(file => file.Path)];
        dataStarts = files.Zip(headers).ToDictionary(piece => piece.First, piece => piece.Second.DataStart);
    }

    /// <summary>The file, or its pieces in order.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>2 or 3.</summary>
    public uint Version => header.Version;

    /// <summary>Every tensor begins at a multiple of this many bytes.</summary>
    public int Alignment => header.Alignment;

    /// <summary>
    /// Values by key: string, bool, float, double; ulong for every unsigned and long for every signed integer type; arrays as
    /// string[], bool[], float[], double[], byte[], sbyte[], ushort[], short[], uint[], int[], ulong[], long[], and object[] for arrays of
    /// arrays.
    /// </summary>
    public IReadOnlyDictionary<string, object> Metadata => header.Metadata.Values;

    /// <summary>The types of <see cref="Metadata"/> as GGUF spells them: <c>UINT32</c>, <c>STRING</c>, <c>ARRAY FLOAT32</c>, …</summary>
    public IReadOnlyDictionary<string, string> MetadataTypes => header.Metadata.Types;

    /// <summary>The metadata's <c>general.architecture</c>; empty when it has none.</summary>
    public string Architecture => Metadata.GetValueOrDefault("general.architecture") as string ?? "";

    /// <param name="path">A file, or any piece of one that llama.cpp's gguf-split made; the others are found beside it.</param>
    /// <exception cref="InvalidInputException">The file cannot be read, a piece is missing, or a header breaks a rule of the format.</exception>
    public static GgufFile Open(string path)
    {
        var files = new List<MappedFile>();
        try
        {
            files.Add(MappedFile.Open(path));
            var header = GgufHeader.Parse(files[0]);
            if (GgufPieces.CountOf(header) is not { } count)
                return new(files, [header]);
            var paths = GgufPieces.Find(path, header, count);
            var headers = new GgufHeader[count];
            var ordered = new MappedFile[count];
            for (var k = 0; k < count; k++)
            {
                if (System.IO.Path.GetFullPath(paths[k]) == System.IO.Path.GetFullPath(path))
                {
                    (ordered[k], headers[k]) = (files[0], header);
                    continue;
                }
                files.Add(ordered[k] = MappedFile.Open(paths[k]));
                headers[k] = GgufHeader.Parse(ordered[k]);
            }
            GgufPieces.Check(paths, headers);
            return new(ordered, headers);
        }
        catch
        {
            foreach (var file in files)
                file.Dispose();
            throw;
        }
    }

    /// <summary>Where a tensor begins, counted from the start of its file's data section.</summary>
    /// <exception cref="InvalidInputException">There is no such tensor.</exception>
    public long OffsetInData(string name) => Find(name).Offset - dataStarts[Find(name).File];
}
