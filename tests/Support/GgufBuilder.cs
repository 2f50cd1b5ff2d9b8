using System.Runtime.InteropServices;
using System.Text;

namespace Qbb.Tests;

/// <summary>Writes small GGUF files, right or wrong.</summary>
internal sealed class GgufBuilder
{
    private readonly List<(string Key, uint Type, byte[] Value)> metadata = [];
    private readonly List<(string Name, long[] Shape, uint Type, byte[] Data)> tensors = [];

    public uint Version { get; set; } = 3;

    public int Alignment { get; set; } = 32;

    /// <summary>Overrides the offset of a tensor in the data section.</summary>
    public Dictionary<string, ulong> Offsets { get; } = [];

    public ulong? TensorCount { get; set; }

    public GgufBuilder Add(string key, object value)
    {
        var (type, bytes) = Encode(value);
        return AddRaw(key, type, bytes);
    }

    public GgufBuilder AddRaw(string key, uint type, byte[] value)
    {
        metadata.Add((key, type, value));
        return this;
    }

    /// <param name="name">GGUF's name.</param>
    /// <param name="shape">Outermost first; the file turns it round.</param>
    /// <param name="type">ggml's number: 0 is F32.</param>
    /// <param name="data">The stored bytes.</param>
    public GgufBuilder Tensor(string name, long[] shape, uint type, byte[] data)
    {
        tensors.Add((name, shape, type, data));
        return this;
    }

    public GgufBuilder Tensor(string name, long[] shape, float[] values) =>
        Tensor(name, shape, 0, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    public byte[] Build()
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write("GGUF"u8);
        writer.Write(Version);
        writer.Write(TensorCount ?? (ulong)tensors.Count);
        writer.Write((ulong)metadata.Count);
        foreach (var (key, type, value) in metadata)
        {
            writer.Write(Text(key));
            writer.Write(type);
            writer.Write(value);
        }
        ulong offset = 0;
        foreach (var (name, shape, type, data) in tensors)
        {
            writer.Write(Text(name));
            writer.Write((uint)shape.Length);
            foreach (var size in shape.Reverse())
                writer.Write(size);
            writer.Write(type);
            writer.Write(Offsets.GetValueOrDefault(name, offset));
            offset += (ulong)(data.Length + Alignment - 1) / (ulong)Alignment * (ulong)Alignment;
        }
        foreach (var (_, _, _, data) in tensors)
        {
            Pad(writer);
            writer.Write(data);
        }
        Pad(writer);
        return stream.ToArray();
    }

    public static byte[] Text(string text) =>
        [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    private void Pad(BinaryWriter writer)
    {
        while (writer.BaseStream.Length % Alignment != 0)
            writer.Write((byte)0);
    }

    private static (uint Type, byte[] Bytes) Encode(object value) => value switch
    {
        byte number => (0, [number]),
        sbyte number => (1, [(byte)number]),
        ushort number => (2, BitConverter.GetBytes(number)),
        short number => (3, BitConverter.GetBytes(number)),
        uint number => (4, BitConverter.GetBytes(number)),
        int number => (5, BitConverter.GetBytes(number)),
        float number => (6, BitConverter.GetBytes(number)),
        bool flag => (7, [flag ? (byte)1 : (byte)0]),
        string text => (8, Text(text)),
        Array array => (9, EncodeArray(array)),
        ulong number => (10, BitConverter.GetBytes(number)),
        long number => (11, BitConverter.GetBytes(number)),
        double number => (12, BitConverter.GetBytes(number)),
        _ => throw new ArgumentException($"no GGUF type for {value.GetType()}"),
    };

    private static byte[] EncodeArray(Array array)
    {
        var elements = array.Cast<object>().Select(Encode).ToList();
        return [.. BitConverter.GetBytes(elements.Count == 0 ? 8 : elements[0].Type), .. BitConverter.GetBytes((ulong)elements.Count),
            .. elements.SelectMany(element => element.Bytes)];
    }
}
