namespace Qbb.Checkpoints;

/// <summary>
/// One GGUF file, memory-mapped, as it is: tensors under GGUF's names with rows as stored, shapes outermost dimension first.
/// Read as floats: F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K and integers; other types are listed but
/// refused when read. <see cref="GgufTensors"/> gives the same tensors under Hugging Face's names.
/// </summary>
public sealed class GgufFile : MappedTensors
{
    private readonly GgufHeader header;

    private GgufFile(MappedFile file, GgufHeader header)
        : base(file, header.Tensors) => this.header = header;

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

    /// <exception cref="InvalidInputException">The file cannot be read, or its header breaks a rule of the format.</exception>
    public static GgufFile Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            return new(file, GgufHeader.Parse(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Where a tensor begins, counted from the start of the data section.</summary>
    /// <exception cref="InvalidInputException">There is no such tensor.</exception>
    public long OffsetInData(string name) => OffsetInFile(name) - header.DataStart;
}
