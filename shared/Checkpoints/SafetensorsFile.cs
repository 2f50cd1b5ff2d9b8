namespace Qbb.Checkpoints;

/// <summary>
/// One safetensors file, memory-mapped. Read as floats: F64, F32, F16, BF16, BOOL and the integer types; F8, F6, F4 and C64
/// are listed but refused when read.
/// </summary>
public sealed class SafetensorsFile : MappedTensors
{
    private SafetensorsFile(MappedFile file, SafetensorsHeader header)
        : base([file], header.Tensors) => Metadata = header.Metadata;

    /// <summary>The header's <c>__metadata__</c>; empty when it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <exception cref="InvalidInputException">The file cannot be read, or its header breaks a rule of the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            return new(file, SafetensorsHeader.Parse(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
